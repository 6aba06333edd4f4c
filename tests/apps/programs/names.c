/* Asks for many names that do not exist, each of which the kernel remembers. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	char name[64];

	for (int i = 0; i < (argc > 1 ? atoi(argv[1]) : 1000); i++) {
		snprintf(name, sizeof(name), "/etc/none%d", i);
		if (access(name, F_OK) == 0)
			return 1;
	}
	return 0;
}
