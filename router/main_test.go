package router

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain proves that a router, which a reload replaces and forgets, leaves no goroutine behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
