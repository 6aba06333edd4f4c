/* What unit tests of vfs include. */
#pragma once

#include "internal.h"

#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/stat.h>
#include <nos/init.h>
#include <nos/test.h>
#include <nos/test_world.h>
