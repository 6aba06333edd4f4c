# perl, lua, bc-like work: interpreters that do a little of everything.
set -e
cd "$(mktemp -d)"
perl -e 'my %h; $h{$_ % 7}++ for 1..10000; print join(",", map { "$_=$h{$_}" } sort keys %h), "\n"'
perl -e 'open(my $f, ">", "x") or die; print $f "line $_\n" for 1..1000; close $f; open($f, "<", "x"); my @l = <$f>; print scalar(@l), " ", -s "x", "\n"'
perl -e '$SIG{ALRM} = sub { print "alarm\n"; exit 0 }; alarm 1; select(undef, undef, undef, 10)'
perl -e 'my $pid = open(my $p, "-|", "echo piped") or die; print <$p>; close $p; my $k = fork; exit 6 unless $k; waitpid $k, 0; print $? >> 8, "\n"'
perl -MPOSIX -e 'print POSIX::strftime("%F", gmtime(0)), " ", POSIX::floor(3.7), "\n"; print join(" ", sort { $a <=> $b } map { ($_ * 7919) % 101 } 1..10), "\n"'
perl -MSocket -e 'socketpair(my $a, my $b, AF_UNIX, SOCK_STREAM, PF_UNSPEC) or die; syswrite $a, "pair"; sysread $b, my $d, 4; print "$d\n"'
perl -ne 'print if /root/' /etc/passwd | head -1
lua5.4 -e 'local t = {} for i = 1, 1000 do t[i] = (i * 7919) % 1009 end table.sort(t) print(t[1], t[500], #t, string.rep("ab", 3), 2^53)'
lua5.4 -e 'local f = io.popen("echo from popen") print(f:read("a")) f:close() print(os.execute("exit 3"))'
lua5.4 -e 'local f = assert(io.open("y", "w")) f:write(("x"):rep(100000)) f:close() print(#io.open("y"):read("a"), os.time() > 0, os.getenv("HOME"))'
lua5.4 -e 'local c = coroutine.wrap(function() for i = 1, 3 do coroutine.yield(i) end end) print(c(), c(), c())'
