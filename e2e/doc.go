// Package e2e tests the shipped binary and image from the outside, with real sockets, the real Docker engine as the
// sender, and real file systems that fill up or freeze. `make e2e` runs it; the tests need the build tag e2e.
//
// A test that needs Docker or root is skipped where there is none, and says so; with FIREBREAK_REQUIRE_DOCKER=1, as in
// .ci/run, that is a failure. FIREBREAK_SOAK=1 asks for the long forms and for the figures to hold.
package e2e
