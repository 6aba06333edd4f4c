/*
 * The page allocator's lock-free part: mm/page_alloc.c.
 *
 * A chunk of four frames in four words of one bit, its counter, and its tree's
 * count.  Follows chunk_take_singles, chunk_take_run with chunk_set_words (two
 * words, taken back where the second is not free), the whole chunk (order 9), and
 * word_free.  Each compare-and-swap or atomic add is one step.
 *
 * Checked: no frame is given to two; invariant (1): the counter is never more than
 * the number of zero bits; (2): the tree's count is never less than the counter;
 * (3): who takes the whole counter finds all bits zero; whoever has subtracted from
 * the counter gets his frames; all is free in the end.
 *
 * Bound: 3 allocations at a time, each then freed.
 *
 * M1  a free adds to the counter before it clears the bits
 * M2  single frames are taken before they are subtracted
 * M3  an allocation subtracts from the tree first
 * M4  the whole chunk is taken by a look and a store
 * M5  taking back a run clears one word too many
 * M6  a run that is not found does not give its frames back to the counter
 * M7  a free adds to the tree last
 */
#define FRAMES 4
#define NOBODY 255

bit bits[FRAMES];	/* set: taken */
byte counter = FRAMES;
byte tree = FRAMES;
byte owner[FRAMES] = NOBODY;
byte zeroes = FRAMES;	/* bits that are 0, for invariant (1) */

inline check() {
	assert(counter <= zeroes);
	assert(tree >= counter)
}

inline take_bit(f) { bits[f] = 1; zeroes--; check() }

inline own(f) { assert(owner[f] == NOBODY); owner[f] = _pid }

inline take_singles() {
#ifdef M2
	got = 0;
	if
	:: atomic { bits[0] == 0 -> take_bit(0); own(0); got = 1 }
	:: atomic { bits[3] == 0 -> take_bit(3); own(3); got = 1 }
	:: counter == 0
	fi;
	atomic { counter = counter - got; tree = tree - got; check() }
#else
	atomic {
		n = (counter < 2 -> counter : 2);
		counter = counter - n
	};
	got = 0;
	do
	:: got == n -> break
	:: got < n ->
		if	/* blocks for ever if they are not there */
		:: atomic { bits[0] == 0 -> take_bit(0); own(0) }
		:: atomic { bits[1] == 0 -> take_bit(1); own(1) }
		:: atomic { bits[2] == 0 -> take_bit(2); own(2) }
		:: atomic { bits[3] == 0 -> take_bit(3); own(3) }
		fi;
		got++
	od;
	atomic { tree = tree - got; check() }	/* tree_taken */
#endif
}

/* Orders 7 and 8: two words next to each other. */
inline take_words() {
	got = 0;
#ifdef M3
	atomic { tree >= 2 -> tree = tree - 2; check() };
#endif
	if
	:: atomic { counter >= 2 -> counter = counter - 2 };
	   i = 0;
	   do
	   :: i == FRAMES || got -> break
	   :: i < FRAMES && !got ->
		if
		:: atomic { bits[i] == 0 -> take_bit(i) };
		   if
		   :: atomic { bits[i + 1] == 0 -> take_bit(i + 1) };
			got = 2;
			d_step { own(i); own(i + 1) }
		   :: atomic { bits[i + 1] == 1 -> skip };
#ifdef M5
			atomic { bits[i + 1] = 0; zeroes++ };
#endif
			atomic { bits[i] = 0; zeroes++ }	/* taken back */
		   fi
		:: bits[i] == 1 -> skip
		fi;
		i = i + 2
	   od;
	   if
	   :: got -> atomic { tree = tree - 2; check() }
	   :: else ->
#ifdef M6
		skip
#else
		atomic { counter = counter + 2; check() }
#endif
	   fi
	:: atomic { counter < 2 -> skip }
	fi
}

inline take_whole() {
	got = 0;
	if
#ifdef M4
	:: counter == FRAMES -> counter = 0;
#else
	:: atomic { counter == FRAMES -> counter = 0 };
#endif
	   got = FRAMES;
	   i = 0;
	   do
	   :: i == FRAMES -> break
	   :: i < FRAMES ->
		assert(bits[i] == 0);
		d_step { bits[i] = 1; zeroes-- };	/* a plain store */
		d_step { own(i) };
		i++
	   od;
	   i = 0;
	   atomic { tree = tree - FRAMES; check() }
	:: atomic { counter != FRAMES -> skip }
	fi
}

/* word_free, a word at a time. */
inline free_all() {
	i = 0;
	do
	:: i == FRAMES -> break
	:: i < FRAMES ->
		if
		:: owner[i] == _pid ->
			owner[i] = NOBODY;
#ifndef M7
			atomic { tree++; check() };
#endif
#ifdef M1
			atomic { counter++; check() };
#endif
			atomic { assert(bits[i] == 1); bits[i] = 0; zeroes++ };
#ifndef M1
			atomic { counter++; check() };
#endif
#ifdef M7
			atomic { tree++; check() };
#endif
		:: else
		fi;
		i++
	od;
	i = 0;
	got = 0
}

active [3] proctype user() {
	byte n = 0, got = 0, i = 0, round = 0;

	do
	:: round == 1 -> break
	:: else ->
		round++;
		if
		:: take_singles()
		:: take_words()
		:: take_whole()
		fi;
		free_all()
	od;
	round = 0;
	if
	:: _pid == 0 ->
		_nr_pr == 1;		/* the others are done */
		assert(counter == FRAMES && tree == FRAMES && zeroes == FRAMES)
	:: else
	fi
}
