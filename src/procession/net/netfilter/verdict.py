"""Verdicts: what becomes of a packet, or where evaluation goes on, with its chain's name if that matters."""

from __future__ import annotations

from procession.abi.named_tuple import NamedTuple
from procession.abi.nftables import ChainVerdict, DataAttribute, HookVerdict, VerdictAttribute
from procession.abi.word import pack_address
from procession.net.netlink.attributes import attribute

DROP, ACCEPT = int(HookVerdict.NF_DROP), int(HookVerdict.NF_ACCEPT)
CONTINUE, BREAK = int(ChainVerdict.NFT_CONTINUE), int(ChainVerdict.NFT_BREAK)
JUMP, GOTO = int(ChainVerdict.NFT_JUMP), int(ChainVerdict.NFT_GOTO)
RETURN = int(ChainVerdict.NFT_RETURN)
_VERDICT = int(DataAttribute.NFTA_DATA_VERDICT)
_CODE, _CHAIN = int(VerdictAttribute.NFTA_VERDICT_CODE), int(VerdictAttribute.NFTA_VERDICT_CHAIN)


class Verdict(NamedTuple):
    """Linux: include/net/netfilter/nf_tables.h, struct nft_verdict."""

    code: int
    chain: bytes = b""

    @property
    def leads_on(self) -> bool:
        """Whether it names a chain."""
        return self.code in (JUMP, GOTO)

    def data(self) -> bytes:
        """As programs are told it. Linux: net/netfilter/nf_tables_api.c, nft_verdict_dump."""
        told = attribute(_CODE, pack_address(self.code & 0xFFFFFFFF, 4))
        if self.leads_on:
            told += attribute(_CHAIN, self.chain + b"\0")
        return attribute(_VERDICT, told)


NO_MATCH = Verdict(BREAK)
DROPPED = Verdict(DROP)
ACCEPTED = Verdict(ACCEPT)
