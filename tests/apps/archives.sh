# tar, gzip, xz, zstd, bzip2, file: the host's result, and back again.
# timeout: 120
set -e
cd "$(mktemp -d)"
mkdir tree; cp /usr/bin/[a-d]*sh /usr/bin/[l-n]s tree 2>/dev/null || true
cp /usr/include/std*.h tree; ln -s stdio.h tree/link; seq 100000 >tree/numbers
tar --sort=name --mtime=@0 --owner=0 --group=0 -cf tree.tar tree; md5sum tree.tar
for tool in gzip xz zstd bzip2; do
	$tool -k -c tree.tar >packed.$tool
	$tool -d -c packed.$tool | cmp - tree.tar && echo "$tool round trip"
done
gzip -n -c tree/numbers | md5sum; xz -0 -T1 -c tree/numbers | md5sum; zstd -q -1 --single-thread -c tree/numbers | md5sum
mkdir out; tar -C out -xf tree.tar; diff -r tree out/tree && echo same
tar -czf both.tgz tree; tar -tzf both.tgz | wc -l; file -b tree/link tree/stdio.h tree/ls packed.gzip | sed 's/BuildID.*, //;s/, last mod.*//'
