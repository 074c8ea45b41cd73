/* What the bindings are made from: DPDK's headers, and what only C can say about them. */
#define _GNU_SOURCE
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <rte_cycles.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_mbuf.h>
#include <rte_mbuf_pool_ops.h>
#include <rte_mempool.h>
#include <rte_version.h>
#include <rte_vhost.h>

/* src/mbuf.rs declares rte_mbuf by hand: its layout is ABI, while newer releases wrap its fields in
 * anonymous unions, which the bindings would spell differently from one release to the next. */
#define SAME_PLACE(field, offset)                                              \
	_Static_assert(offsetof(struct rte_mbuf, field) == (offset),               \
		       "rte_mbuf." #field " is not where src/mbuf.rs has it")
SAME_PLACE(buf_addr, 0);
SAME_PLACE(data_off, 16);
SAME_PLACE(refcnt, 18);
SAME_PLACE(nb_segs, 20);
SAME_PLACE(port, 22);
SAME_PLACE(ol_flags, 24);
SAME_PLACE(packet_type, 32);
SAME_PLACE(pkt_len, 36);
SAME_PLACE(data_len, 40);
SAME_PLACE(vlan_tci, 42);
SAME_PLACE(hash, 44);
SAME_PLACE(vlan_tci_outer, 52);
SAME_PLACE(buf_len, 54);
SAME_PLACE(pool, 56);
SAME_PLACE(next, 64);
SAME_PLACE(tx_offload, 72);
SAME_PLACE(priv_size, 88);
_Static_assert(sizeof(struct rte_mbuf) == 128, "rte_mbuf is not two cache lines");

/* Function-like macros cannot be bound. */
static const uint64_t DPDK_SYS_RSS_IP = RTE_ETH_RSS_IP;
static const uint64_t DPDK_SYS_RSS_TCP = RTE_ETH_RSS_TCP;
static const uint64_t DPDK_SYS_RSS_UDP = RTE_ETH_RSS_UDP;
static const uint64_t DPDK_SYS_TX_OFFLOAD_MULTI_SEGS = RTE_ETH_TX_OFFLOAD_MULTI_SEGS;

static const unsigned int DPDK_SYS_LCORE_ANY = LCORE_ID_ANY;

/* rte_errno is a thread-local variable behind a macro. */
static inline int dpdk_sys_errno(void)
{
	return rte_errno;
}

/* link_status is a bit field that moved into a union. Negative: the error. */
static inline int dpdk_sys_link_up(uint16_t port_id)
{
	struct rte_eth_link link = { 0 };
	int ret = rte_eth_link_get_nowait(port_id, &link);

	return ret < 0 ? ret : link.link_status == RTE_ETH_LINK_UP;
}

/* rte_pktmbuf_pool_create with flags of the pool's own. */
static inline struct rte_mempool *
dpdk_sys_pktmbuf_pool_create(const char *name, unsigned int n, unsigned int cache_size,
			     uint16_t data_room_size, int socket_id, unsigned int flags)
{
	struct rte_pktmbuf_pool_private priv = { .mbuf_data_room_size = data_room_size };
	struct rte_mempool *mp = rte_mempool_create_empty(
		name, n, sizeof(struct rte_mbuf) + data_room_size, cache_size, sizeof(priv), socket_id, flags);
	int ret;

	if (mp == NULL)
		return NULL;
	ret = rte_mempool_set_ops_byname(mp, rte_mbuf_best_mempool_ops(), NULL);
	if (ret == 0) {
		rte_pktmbuf_pool_init(mp, &priv);
		ret = rte_mempool_populate_default(mp);
	}
	if (ret < 0) {
		rte_mempool_free(mp);
		rte_errno = -ret;
		return NULL;
	}
	rte_mempool_obj_iter(mp, rte_pktmbuf_init, NULL);
	return mp;
}

static const unsigned int DPDK_SYS_MEMPOOL_NO_IOVA_CONTIG = RTE_MEMPOOL_F_NO_IOVA_CONTIG;
