//go:build tools

// Package tools names the programs that run.sh builds, so that go.mod and go.sum pin them and all they need.
package tools

import (
	_ "github.com/summerwind/h2spec/cmd/h2spec"
	_ "google.golang.org/grpc/interop/client"
)
