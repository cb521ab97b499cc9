package config

// ListenAddresses returns what an input with the given options listens on, as written, defaults included.
func ListenAddresses(options any) []string { return listenOption(options) }
