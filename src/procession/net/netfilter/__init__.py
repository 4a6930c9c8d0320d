"""The packet filter: nftables' rules, what they see of packets, and the requests that change them."""
