use strict; use warnings; $| = 1;
my @pids;
for my $i (1 .. 20) { my $pid = fork; die unless defined $pid; if (!$pid) { exit $i } push @pids, $pid }
for my $pid (@pids) { waitpid($pid, 0); print $? >> 8, " " } print "\n";
print waitpid(-1, 0), " ", ($!{ECHILD} ? "no child" : ""), "\n";
pipe(my $r, my $w); if (!fork) { close $r; print $w "from child\n"; close $w; exit 0 } close $w; print "got ", <$r>; wait;
$SIG{USR1} = sub { print "usr1\n" }; kill USR1 => $$;
$SIG{CHLD} = sub { 1 while waitpid(-1, 1) > 0; print "reaped\n" }; if (!fork) { exit 0 } select undef, undef, undef, 0.5; $SIG{CHLD} = "DEFAULT";
eval { local $SIG{ALRM} = sub { die "alarm\n" }; alarm 1; select undef, undef, undef, 10; }; print $@;
eval { local $SIG{ALRM} = sub { die "spin alarm\n" }; alarm 1; select undef, undef, undef, 0.97; 1 while 1; }; print $@;
print `echo backticks`; print "status ", system("sh -c 'exit 3'") >> 8, "\n"; system("kill -9 \$\$"); print "signal ", $? & 127, "\n";
open(my $in, "-|", "seq 3") or die; print while <$in>; close $in; open(my $out, "|-", "sort -r") or die; print $out "a\nb\n"; close $out;
my $pid = open(my $kid, "-|"); if (!$pid) { print "in kid\n"; exit 4 } print <$kid>; close $kid; print $? >> 8, "\n";
if (!fork) { exec "echo", "executed", "with spaces" } wait; if (!fork) { no warnings; exec "/nonexistent" or exit 5 } wait; print $? >> 8, "\n";
open(my $f, ">", "file") or die; print $f "line $_\n" for 1 .. 1000; close $f; print -s "file", "\n"; open($f, "<", "file"); my @l = <$f>; print scalar @l, " $l[-1]"; unlink "file"; print -e "file" ? "there" : "gone", "\n";
my %h; $h{$_ % 7}++ for 1 .. 10000; print join(",", map { "$_=$h{$_}" } sort keys %h), "\n"; print join(" ", sort { $b <=> $a } map { $_ * 3 % 11 } 1 .. 10), "\n"; my $s = "the quick brown fox"; (my $t = $s) =~ s/(\w+)/\u$1/g; print "$t\n"; printf "%.10f %e %s\n", 4 * atan2(1, 1), 1 / 3, 2 ** 0.5;
my $depth = 0; sub nest { my $n = shift; return $n if !$n; my $pid = fork; if (!$pid) { exit nest($n - 1) } waitpid $pid, 0; return ($? >> 8) + 1 } print nest(10), "\n"; print getppid() != $$ ? "parent\n" : ""; print "$0 @ARGV\n"; exit 6;
