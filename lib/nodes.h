/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * nodes.h - the nodes of a map's range indexes: in trees, waiting for a grace period, or free for the next update
 */
#ifndef RMAP_LIB_NODES_H
#define RMAP_LIB_NODES_H

#include "map.h"

void rmap_nodes_push(struct node_list *list, struct node *node);

/* NULL if there is none. */
struct node *rmap_nodes_pop(struct node_list *list);

/*
 * Moves nodes to @to until it has @needed, and leaves @spares, or more, for borrowers. 0 or -ENOMEM. The caller may
 * hold its object's mutex; may sleep. Unless it @sleeps it asks the tier for nothing: -EAGAIN, if too few are free.
 */
int rmap_nodes_take(struct rmap *map, struct node_list *to, uint64_t needed, unsigned spares, bool sleeps);

/* The same without memory: what is free has to do. False if that is too little: others have borrowed. */
bool rmap_nodes_borrow(struct rmap *map, struct node_list *to, unsigned needed);

/*
 * The end of an update that has published. @stock: what it has left, which nobody has seen; @replaced: what readers may
 * have. @built: by how many nodes its tree has grown. If too many wait by then it waits for a grace period, outside any
 * section, unless it must not: !@may_wait. Registered reader.
 */
void rmap_nodes_retire(struct rmap *map, struct node_list *stock, struct node_list *replaced, int64_t built,
		       bool may_wait);

/* The same for one that borrowed, or has published nothing: no reader has any of @list. */
void rmap_nodes_return(struct rmap *map, struct node_list *list, int64_t built);

/* Waits until all that was retired is free. Outside any read-side section. */
void rmap_nodes_wait(struct rmap *map);

/* Gives back to the tier what is free beyond what updates may soon need. Not where nobody may wait. */
void rmap_nodes_keep_few(struct rmap *map);

/* Gives back to the tier all that is free and not for borrowers. */
void rmap_nodes_trim(struct rmap *map);

/* Nodes of a tree whose object has ended; fewer are kept free then. */
void rmap_nodes_free(struct rmap *map, struct node_list *list);

/* In a quiescent map: is every node in a tree or free, once? */
bool rmap_nodes_check(struct rmap *map);

/* When the map ends. */
void rmap_nodes_fini(struct rmap *map);

size_t rmap_nodes_bytes(uint64_t n);

#endif
