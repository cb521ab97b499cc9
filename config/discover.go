package config

import (
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
)

// SystemPath is where a configuration is looked for when none is named.
const SystemPath = "/etc/firebreak/firebreak.yaml"

//go:embed default.yaml
var defaultFile []byte

//go:embed default-image.yaml
var defaultImageFile []byte

// Default returns the configuration for when there is none: listen for Docker, write one file per container.
// In the image it listens on all addresses and writes below /var/lib/firebreak.
func Default(inImage bool) []byte {
	if inImage {
		return append([]byte(nil), defaultImageFile...)
	}
	return append([]byte(nil), defaultFile...)
}

// Discover finds the configuration: the file that the flag -c names, else the one that $FIREBREAK_CONFIG names, else
// SystemPath, else the default, whose path is "". $FIREBREAK_IN_IMAGE, when not empty, chooses the default of the
// image. A named file that can't be read is an error, and so is a file at SystemPath that can't.
func Discover(flag string, env Lookup) (path string, src []byte, err error) {
	named := flag
	if named == "" {
		named, _ = env.env("FIREBREAK_CONFIG")
	}
	path = named
	if named == "" {
		path = SystemPath
	}
	src, err = env.file(path)
	switch {
	case err == nil:
		return path, src, nil
	case named != "" || !errors.Is(err, fs.ErrNotExist):
		if flag == "" && named != "" {
			return path, nil, fmt.Errorf("read configuration that $FIREBREAK_CONFIG names: %w", err)
		}
		return path, nil, fmt.Errorf("read configuration: %w", err)
	}
	inImage, _ := env.env("FIREBREAK_IN_IMAGE")
	return "", Default(inImage != ""), nil
}
