# Go programs, static and linked with libc: goroutines, timers, sockets, processes.
# timeout: 60
build/apps/go-static && build/apps/go-dynamic
