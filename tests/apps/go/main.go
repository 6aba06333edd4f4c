// A Go program that uses goroutines, timers, files, signals and processes.
package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sort"
	"sync"
	"syscall"
	"time"
)

func sum(n int) int {
	results := make(chan int)
	var group sync.WaitGroup
	for i := 0; i < n; i++ {
		group.Add(1)
		go func(i int) {
			defer group.Done()
			results <- i * i
		}(i)
	}
	go func() { group.Wait(); close(results) }()
	total := 0
	for v := range results {
		total += v
	}
	return total
}

func overUnixSocket() string {
	path := filepath.Join(os.TempDir(), fmt.Sprintf("go-%d", os.Getpid()))
	defer os.Remove(path)
	l, err := net.Listen("unix", path)
	if err != nil {
		return err.Error()
	}
	go func() {
		c, _ := l.Accept()
		b := make([]byte, 100)
		n, _ := c.Read(b)
		c.Write(append([]byte("echo "), b[:n]...))
		c.Close()
	}()
	c, err := net.Dial("unix", path)
	if err != nil {
		return err.Error()
	}
	c.Write([]byte("hello"))
	b := make([]byte, 100)
	n, _ := c.Read(b)
	return string(b[:n])
}

func main() {
	fmt.Println("sum", sum(1000))
	start := time.Now()
	time.Sleep(20 * time.Millisecond)
	fmt.Println("slept", time.Since(start) >= 20*time.Millisecond)
	out, err := exec.Command("sh", "-c", "echo from a child; exit 3").Output()
	fmt.Print(string(out), err, "\n")
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1)
	syscall.Kill(os.Getpid(), syscall.SIGUSR1)
	fmt.Println("signal", <-signals)
	fmt.Println(overUnixSocket())
	names := []string{}
	entries, _ := os.ReadDir("/")
	for _, e := range entries {
		names = append(names, e.Name())
	}
	sort.Strings(names)
	fmt.Println(len(names) > 5)
	memory := make([][]byte, 0)
	for i := 0; i < 200; i++ {
		memory = append(memory, make([]byte, 1<<18))
	}
	fmt.Println(len(memory))
}
