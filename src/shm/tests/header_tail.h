/* A label is this, and its text in UTF-8, filled up with zeros to a multiple of 8 bytes. */
struct weft_label {
	uint32_t kind; /* enum weft_label_code */
	uint32_t id;
	uint32_t parent;
	uint32_t len; /* Bytes of the text. */
};

/* A word that the writer may change at any moment. */
static inline uint64_t weft_load(const uint64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_RELAXED);
}

/* What is loaded from here on is not older than what was loaded before. */
static inline void weft_fence(void)
{
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
}

/* Copies a row of `words` words, its sequence included; 0 when it was being written: look again. */
static inline int weft_read_row(const uint64_t *row, uint64_t *copy, size_t words)
{
	size_t i;

	copy[0] = weft_load(row);
	weft_fence();
	for (i = 1; i < words; i++)
		copy[i] = weft_load(row + i);
	weft_fence();
	return (copy[0] & 1) == 0 && weft_load(row) == copy[0];
}

/* Where a reader is in a ring. What it read and what it lost make up what was written, always. */
struct weft_cursor {
	uint64_t next; /* The number of the record that comes next, from 0. */
	uint64_t read;
	uint64_t lost;
};

/* The next record of the ring that begins at `instance`: 1 with a record in `copy`, 0 when there is none for now, -1
 * when some were lost: look again. `copy` has room for `words` words, and a slot has as many or more. */
static inline int weft_next(struct weft_cursor *cursor, const uint64_t *instance, const struct weft_section *section,
			    uint64_t *copy, size_t words)
{
	uint64_t capacity = section->capacity, written = weft_load(instance), oldest;
	const uint64_t *slots = instance + section->lead / 8;

	weft_fence();
	if (written <= cursor->next)
		return 0;
	if (written - cursor->next <= capacity &&
	    weft_read_row(slots + (cursor->next & (capacity - 1)) * (section->row_len / 8), copy, words) &&
	    copy[0] == 2 * cursor->next + 2) {
		cursor->next++;
		cursor->read++;
		return 1;
	}
	written = weft_load(instance);
	weft_fence();
	oldest = written > capacity ? written - (capacity - capacity / 8) : 0;
	if (oldest <= cursor->next)
		oldest = cursor->next + 1;
	cursor->lost += oldest - cursor->next;
	cursor->next = oldest;
	return -1;
}

#endif
