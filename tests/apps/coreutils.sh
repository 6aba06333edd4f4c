# Coreutils, findutils, grep, sed, gawk, diffutils.
# timeout: 150
set -e
cd "$(mktemp -d)"
seq 1 20000 >numbers
sort -R numbers | sort -n | cmp - numbers && echo sorted
md5sum numbers sha256sum numbers 2>/dev/null || true
sha256sum numbers; sha1sum numbers; cksum numbers; b2sum numbers; wc numbers
head -3 numbers; tail -3 numbers; sed -n 5p numbers; cut -c2 numbers | sort | uniq -c
tr 0-9 a-j <numbers | head -2; rev numbers | tail -1; tac numbers | head -1
paste -d, numbers numbers | sed -n 10p; join numbers numbers | wc -l
split -n 4 numbers part.; cat part.* | cmp - numbers && echo joined
shuf -i 1-100 | sort -n | md5sum; factor 1234567890123; expr 6 \* 7
mkdir -p a/b/c; touch a/b/c/f; ln a/b/c/f hard; ln -s a/b/c/f soft
stat -c '%n %F %h %a' hard soft a; readlink -f soft | sed 's,.*/a/,a/,'
cp -a a copy; mv copy moved; find . | sort; rm -r moved; rmdir a/b 2>/dev/null || echo "not empty"
dd if=/dev/zero of=zeros bs=4k count=100 status=none; du -b zeros; truncate -s 10M sparse; stat -c '%s %b' sparse
chmod 640 zeros; stat -c %a zeros; touch -d '2001-02-03 04:05:06 UTC' zeros; date -u -r zeros
TZ=UTC date -d @1000000000 +%FT%T; printf '%s\n' b a c | sort | xargs echo
echo one two three | xargs -n1 echo item; find /usr/bin -name 'z*' -type f | sort | head -3
grep -c '7$' numbers; grep -E '^(12|21)0+$' numbers; grep -rl 999 . | sort; echo aXbX | sed 's/X/-/g;s/-$/!/'
gawk '{ s += $1 } END { printf "%d %.3f\n", s, s / NR }' numbers
gawk 'BEGIN { while (("echo a b" | getline l) > 0) print toupper(l); print length("abc"), substr("hello", 2, 3) }'
diff numbers part.aa | tail -2; echo x >x; echo y >y; diff -u x y | tail -3; cmp x y || true
base64 x | base64 -d; od -c x; tee t1 t2 <x >/dev/null; cat t1 t2; nl x; fold -w 3 numbers | tail -1
timeout 0.2 sleep 5 || echo "timeout $?"; env -i A=1 env; nice -n 5 nice; id -u; basename /a/b.c .c; dirname /a/b
test -e /nonexistent || echo missing; mkfifo pipe; (echo through >pipe &); cat pipe; comm -12 x x; sync; tty || true
ls -la --time-style=+ a | tail -1 | cut -c1-10; mktemp -d | cut -c1-8; seq -s+ 5; yes n | head -2; sleep 0.01; nproc >/dev/null && echo nproc
