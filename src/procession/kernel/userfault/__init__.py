"""userfaultfd(2): page faults that a program handles itself, through a file that tells it of them."""
