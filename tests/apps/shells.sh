# Shells: expansion, pipelines, here documents, traps, jobs, arithmetic.
set -e
exec 2>&1 # one stream: the order of two is not fixed
cd "$(mktemp -d)"
for shell in dash bash "busybox sh"; do
	echo "-- $shell"
	$shell -c 'x=5; echo $((x * 7)) "${x}y" ${#x} $(echo sub) `echo old`'
	$shell -c 'cat <<END
here $HOME document
END'
	$shell -c 'for i in 1 2 3; do echo $i; done | while read n; do echo "got $n"; done'
	$shell -c 'trap "echo trapped" USR1; kill -USR1 $$; echo after'
	$shell -c 'trap "echo leaving" EXIT; exit 3' || echo "status $?"
	$shell -c '(exit 4) & wait $!; echo "background $?"'
	$shell -c 'sleep 0.2 & p=$!; kill -0 $p && echo alive; kill $p; wait $p; echo "killed $?"'
	$shell -c 'echo out; echo err >&2' 2>/dev/null
	$shell -c 'set -- a "b c" d; echo $# "$2"; shift; echo "$1"'
	$shell -c 'f() { local v=in; echo $v; return 9; }; v=out; f; echo $? $v'
	$shell -c 'yes | head -n 1000 | wc -l'
	$shell -c 'exec 3>file; echo to three >&3; exec 3>&-; cat file'
	$shell -c 'case abc in a*) echo star;; esac; [ -d / ] && test 1 -lt 2 && echo true'
	$shell -c 'nosuchcommand' 2>/dev/null || echo "status $?"
	$shell -c 'umask 027; touch masked; ls -l masked | cut -c1-10; rm masked'
	$shell -c 'ulimit -n 50; ulimit -n'
	$shell -c 'cd /usr/bin; pwd; cd ..; pwd; cd -; echo *lib* | tr " " "\n" | head -2'
done
bash -c 'a=(one two three); echo ${a[1]} ${#a[@]}; declare -A m=([k]=v); echo ${m[k]}'
bash -c '[[ abcd =~ b(.) ]] && echo ${BASH_REMATCH[1]}; diff <(echo a) <(echo b)' || true
bash -c 'coproc cat; echo through >&${COPROC[1]}; read -u ${COPROC[0]} line; echo $line'
bash -c 'set -m; sleep 5 & jobs -l | sed "s/ *[0-9]\{1,\} Running/ PID Running/"; kill %1; wait; echo done' 2>/dev/null
bash -c 'echo {1..5} {a,b}{x,y}; printf "%05.2f|%-5s|%x\n" 3.14159 ab 255'
bash -c 'time -p true' 2>&1 | wc -l
