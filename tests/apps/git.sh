# git: init, commit, branch, merge, log, diff, clone, gc, fsck of a local repository.
# timeout: 250
set -e
cd "$(mktemp -d)"
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
export GIT_AUTHOR_DATE='2001-02-03T04:05:06Z' GIT_COMMITTER_DATE='2001-02-03T04:05:06Z' GIT_CONFIG_NOSYSTEM=1 HOME=$PWD
git init -q -b main one
cd one
for i in 1 2 3 4 5; do
	seq $((i * 1000)) >"file$i"
	mkdir -p dir$i; echo "$i" >dir$i/inner
	git add -A
	git commit -q -m "commit $i"
done
git log --oneline; git rev-parse HEAD
git checkout -q -b side HEAD~2; echo side >side; git add side; git commit -q -m side
git checkout -q main; git merge -q -m merge side; git log --graph --oneline | head -5
echo change >>file1; git diff --stat; git stash -q; git status --short; git stash pop -q; git checkout -q file1
cd ..; git clone -q one two; git clone -q --bare one three.git; cd two; git log --oneline | wc -l; git ls-files | md5sum
echo more >more; git add more; git commit -q -m more; git push -q ../three.git main; git -C ../three.git log --oneline | head -1
git gc -q; git fsck --full --no-dangling 2>&1; git count-objects | cut -d, -f1; git grep -c 999 -- file1; git blame file1 | wc -l
git archive HEAD | tar t | wc -l; git tag v1; git describe --tags; git rebase -q HEAD~1; git worktree add -q ../wt; ls ../wt | wc -l
