//go:build race

package router

const underRace = true // the race detector empties pools at random
