use strict; use warnings; use POSIX qw(:sys_wait_h :signal_h :errno_h setsid dup2 _exit); use Fcntl qw(:flock :DEFAULT); $| = 1;
# sigaction, masks, pending
my $set = POSIX::SigSet->new(SIGUSR1); my $old = POSIX::SigSet->new; sigprocmask(SIG_BLOCK, $set, $old); my $n = 0; sigaction(SIGUSR1, POSIX::SigAction->new(sub { $n++ }, POSIX::SigSet->new, 0)); kill USR1 => $$ for 1 .. 5; my $pend = POSIX::SigSet->new; sigpending($pend); print "pending ", $pend->ismember(SIGUSR1), " n $n\n"; sigprocmask(SIG_SETMASK, $old); print "n $n\n";
# EINTR and restart
{ local $SIG{ALRM} = sub { print "alarm\n" }; alarm 1; my $r = select(undef, undef, undef, 3); print defined $r && $r == -1 ? "EINTR " . ($! == EINTR) : "r $r", "\n"; }
# pipes with nonblock
pipe(my $r, my $w); my $flags = fcntl($r, F_GETFL, 0); fcntl($r, F_SETFL, $flags | O_NONBLOCK); my $got = sysread($r, my $buf, 10); print defined $got ? "got $got" : "EAGAIN " . ($! == EAGAIN), "\n"; syswrite $w, "hello"; print sysread($r, $buf, 3), " $buf\n"; close $w; print sysread($r, $buf, 10), " $buf\n"; print sysread($r, $buf, 10), "\n";
{ local $SIG{PIPE} = 'IGNORE'; pipe(my $a, my $b); close $a; my $k = syswrite($b, "x"); print defined $k ? "wrote" : "EPIPE " . ($! == EPIPE), "\n"; }
fcntl($w = do { pipe(my $a, my $b); $r = $a; $b }, F_SETFL, O_NONBLOCK | O_WRONLY); my $total = 0; while (defined(my $k = syswrite($w, "x" x 4096))) { $total += $k } print "pipe holds $total ", $! == EAGAIN, "\n";
# waitpid variants
my $pid = fork // die; if (!$pid) { select undef, undef, undef, 0.1; _exit(9) } print "nohang ", waitpid($pid, WNOHANG), "\n"; waitpid $pid, 0; print "exited ", WIFEXITED($?), " ", WEXITSTATUS($?), "\n";
$pid = fork // die; if (!$pid) { kill STOP => $$; _exit(4) } waitpid($pid, WUNTRACED); print "stopped ", WIFSTOPPED($?), " ", WSTOPSIG($?) == SIGSTOP, "\n"; kill CONT => $pid; waitpid($pid, 0); print "then ", WEXITSTATUS($?), "\n";
$pid = fork // die; if (!$pid) { $SIG{TERM} = 'DEFAULT'; kill TERM => $$; sleep 9; _exit 0 } waitpid $pid, 0; print "signaled ", WIFSIGNALED($?), " ", WTERMSIG($?), "\n";
# process groups
$pid = fork // die; if (!$pid) { setpgrp(0, 0); for (1 .. 3) { if (!fork) { sleep 100; _exit 0 } } sleep 100; _exit 0 } select undef, undef, undef, 0.1; my $killed = kill -TERM => $pid; print "group killed $killed\n"; waitpid $pid, 0; print WTERMSIG($?), "\n"; print kill(0 => $pid), " ", $! == ESRCH, "\n";
# sessions
$pid = fork // die; if (!$pid) { my $s = setsid(); print "session ", $s == $$, " ", getpgrp() == $$, "\n"; print defined(setsid()) && setsid() != -1 ? "again\n" : "EPERM " . ($! == EPERM) . "\n"; _exit 0 } waitpid $pid, 0;
# locks
open(my $l, ">", "lock"); print "locked ", flock($l, LOCK_EX), "\n"; $pid = fork // die; if (!$pid) { open(my $m, ">", "lock"); print "other ", flock($m, LOCK_EX | LOCK_NB) ? 1 : "refused", "\n"; print "inherited ", flock($l, LOCK_EX | LOCK_NB), "\n"; _exit 0 } waitpid $pid, 0; flock($l, LOCK_UN);
# orphan
pipe($r, $w); $pid = fork // die; if (!$pid) { if (!fork) { select undef, undef, undef, 0.1; syswrite $w, getppid() . "\n"; _exit 0 } _exit 0 } close $w; waitpid $pid, 0; my $parent = <$r>; print "orphan's parent ", $parent, "";
# descriptors
open(my $d, "<", "/etc/passwd"); my $fd = POSIX::dup(fileno $d); dup2($fd, 50); print "same offset ", do { sysread($d, $buf, 4); POSIX::lseek(50, 0, 1) }, "\n"; print "cloexec ", fcntl($d, F_GETFD, 0), "\n"; system("sh -c 'test -e /proc/self/fd/50 && echo leaked || echo closed'");
# files and times
sysopen(my $x, "excl", O_CREAT | O_EXCL | O_WRONLY, 0640) or die; print sysopen(my $y, "excl", O_CREAT | O_EXCL | O_WRONLY) ? "twice" : "EEXIST " . ($! == EEXIST), "\n"; printf "%o\n", (stat "excl")[2]; utime 1000, 2000, "excl"; print join(",", (stat "excl")[8, 9]), "\n"; rename "excl", "moved"; print -e "moved" ? "moved\n" : "no\n"; symlink "moved", "sym"; print readlink "sym", "\n"; print -l "sym" ? "link\n" : ""; truncate "moved", 100; print -s "moved", "\n"; mkdir "dd", 0700; print rmdir("dd"), rmdir("dd") ? "" : $! + 0, "\n"; opendir(my $dh, "/usr/share/perl5") and print((scalar grep { !/^\./ } readdir $dh) > 0, "\n"); print umask, "\n"; chdir "/usr" and print POSIX::getcwd(), "\n"; chdir "/tmp";
my @t = times; print scalar(@t), " ", $t[0] >= 0, "\n"; my ($s, $u) = (POSIX::sysconf(POSIX::_SC_PAGESIZE()), POSIX::sysconf(POSIX::_SC_OPEN_MAX())); print "$s\n"; print join(" ", (POSIX::uname())[0, 4]), "\n"; print((getpwnam("root"))[7], " ", (getgrgid(1))[0], " ", scalar getpwuid(65534), "\n"); print getpriority(0, 0), "\n"; setpriority(0, 0, 5); print getpriority(0, 0), "\n"; print "$<,$>,$(" =~ /^0,0/ ? "root\n" : "no\n";
$pid = fork // die; if (!$pid) { $) = "1000 1000"; $( = 1000; ($<, $>) = (1000, 1000); print "$< $>\n"; print open(my $f, ">", "/etc/x") ? "opened" : "EACCES " . ($! == EACCES), "\n"; $> = 0; print $> == 0 ? "back" : "never", "\n"; print kill(0 => 1) ? "may" : "EPERM " . ($! == EPERM), "\n"; _exit 0 } waitpid $pid, 0;
open(my $dup, ">&", \*STDOUT); print $dup "dup\n"; close $dup; open(my $save, ">&STDOUT"); open(STDOUT, ">", "captured"); print "captured\n"; system "echo from child"; close STDOUT; open(STDOUT, ">&", $save); open($x, "<", "captured"); print <$x>; my @lines = `printf 'a\nb\n'`; print scalar(@lines), "\n"; print "exit: ", system("exit 7") , "\n"; my $out = qx(sh -c 'echo out; echo err >&2; exit 2' 2>&1); print $out, $? >> 8, "\n";
