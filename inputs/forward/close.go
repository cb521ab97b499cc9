package forward

// Close ends the listening of an input that was never run; Run does so by itself.
func (in *Input) Close() { in.close() }
