#!/bin/sh
# What a configure script does all day: small files, small programs, subshells.
n=$1
mkdir -p /tmp/conf && cd /tmp/conf || exit 1
i=0
while [ "$i" -lt "$n" ]; do
	i=$(expr "$i" + 1)
	cat >conftest.c <<END
#include <stdio.h>
int feature_$i(void);
END
	if grep -q "feature_$i" conftest.c && test -f conftest.c; then
		echo "#define HAVE_FEATURE_$i 1" >>confdefs.h
	fi
	name=$(echo "feature_$i" | sed 's/_/-/; y/abcdef/ABCDEF/')
	case $name in
	*-$i) ;;
	*) exit 1 ;;
	esac
	(uname -s; echo "$name") | tr A-Z a-z | sort >conftest.out
	rm -f conftest.c conftest.out
done
test "$(grep -c HAVE_FEATURE confdefs.h)" -ge "$n" && rm -f confdefs.h
