export GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_DATE='1700000000 +0000' GIT_COMMITTER_DATE='1700000000 +0000'
git config --global user.name Ann
git config --global user.email ann@example.org
git config --global init.defaultBranch main
git init -q first && cd first || exit
for name in a b c; do seq 100 >$name; done
mkdir directory && echo x >directory/file && ln -s file directory/link && chmod +x a
git add . && git commit -q -m 'The first'
git log --stat
echo more >>a
git diff
git status --short
git commit -q -a -m 'The second'
git clone -q ../first ../second && cd ../second || exit
git log --oneline
git checkout -q -b topic && echo y >new && git add new && git commit -q -m 'On a topic'
git push -q origin topic
git -C ../first branch --all
git checkout -q main && git merge --no-edit -q topic && git log --graph --oneline
git gc -q && git fsck --strict && git count-objects -v | grep -E '^(in-pack|packs)'
git grep --threads 2 -c 99
git clone -q --no-local "file://$PWD" ../third && git -C ../third log --oneline
printf '#!/bin/sh\necho "hook $1 $2"\n' >.git/hooks/post-rewrite && chmod +x .git/hooks/post-rewrite
git commit -q --amend -m 'Amended'
git bisect start HEAD HEAD~2 && git bisect run sh -c '! test -e new' | tail -n 3
git stash list
git archive HEAD | tar -tf -
