# Perl's own calls on System V messages, semaphores and shared memory.
use strict;
use warnings;

my ($IPC_PRIVATE, $IPC_CREAT, $IPC_RMID, $IPC_STAT, $IPC_NOWAIT) = (0, 01000, 0, 2, 04000);
my ($GETVAL, $SETVAL, $GETALL, $SETALL, $SEM_UNDO) = (12, 16, 13, 17, 010000);
$| = 1;

my $queue = msgget($IPC_PRIVATE, 0600);
msgsnd($queue, pack("l! a*", 3, "three"), 0) or die "msgsnd: $!";
msgsnd($queue, pack("l! a*", 1, "one"), 0) or die "msgsnd: $!";
my $received;
for my $type (1, 0) {
    msgrcv($queue, $received, 60, $type, 0) or die "msgrcv: $!";
    printf "%d %s\n", unpack("l! a*", $received);
}
msgrcv($queue, $received, 60, 0, $IPC_NOWAIT) or print "empty: $!\n";
if (!fork) {
    msgrcv($queue, $received, 60, -9, 0);
    printf "child got %d %s\n", unpack("l! a*", $received);
    exit 0;
}
msgsnd($queue, pack("l! a*", 9, "for the child"), 0);
wait;
msgctl($queue, $IPC_RMID, 0);
msgsnd($queue, pack("l! a*", 9, "gone"), 0) or print "removed: $!\n";

my $semaphores = semget($IPC_PRIVATE, 2, 0600);
semctl($semaphores, 0, $SETALL, pack("s*", 1, 0));
if (!fork) {
    semop($semaphores, pack("s!3 s!3", 0, -1, $SEM_UNDO, 1, 1, 0));
    print "child holds ", semctl($semaphores, 0, $GETVAL, 0) + 0, "\n";
    exit 0;
}
semop($semaphores, pack("s!3 s!3", 0, -1, 0, 1, -1, 0));
wait;
my $values = "";
semctl($semaphores, 0, $GETALL, $values);
print "values @{[unpack 's*', $values]}\n";
semop($semaphores, pack("s!3", 0, -1, $IPC_NOWAIT)) or print "taken: $!\n";
semctl($semaphores, 0, $IPC_RMID, 0);

my $segment = shmget($IPC_PRIVATE, 1000, 0600);
shmwrite($segment, "written", 10, 7) or die "shmwrite: $!";
if (!fork) {
    my $text;
    shmread($segment, $text, 8, 9);
    $text =~ s/\0/./g;
    print "child reads $text\n";
    shmwrite($segment, "by the child", 100, 12);
    exit 0;
}
wait;
my $text;
shmread($segment, $text, 100, 12);
print "parent reads $text\n";
shmctl($segment, $IPC_RMID, 0);
shmread($segment, $text, 0, 1) or print "gone: $!\n";
