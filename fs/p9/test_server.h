/* A small 9P server in memory, for the tests of fs/p9 (server_test.c). */
#pragma once

#include "p9.h"

/* The channel's name, to be mounted as source. */
#define TEST_SERVER "test-server"

struct test_server {
	/* Before a reply goes out: may change it, and *len; NULL. */
	void (*tamper)(u8 *reply, u32 *len, u32 room);
	u32 fail; /* messages of this type are answered by Rlerror(EIO) */
	bool hold; /* Treads are answered by test_server_release, or a Tflush */
	u32 nr_messages, nr_fids, nr_reads; /* so far; now in use; so far */
	u32 nr_flushes;
};
extern struct test_server test_server;

/* An empty tree, no fids; registers the channel before the first use. */
void test_server_start(void);
/* What the host itself changes: a file with this text; NULL: removes it. */
void test_server_put(const char *name, const char *text);
/* What the host has in that file. */
const char *test_server_get(const char *name);
/* A file that is only read: byte n of it is n / 64 KiB + 1. */
void test_server_put_pattern(const char *name, u32 size);
/* Answers what was held, in the order of the requests. */
void test_server_release(void);
/* A fresh server, mounted on "m" of a fresh world (nos/test_world.h), and the end of both. */
void test_server_mount(const char *options);
void test_server_umount(void);
