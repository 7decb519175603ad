/* The register of docs/membership.md (M-10 to M-16): three nodes agree on the view of each epoch.
 *
 * The network is a set of everything that was ever sent: a message may be taken at any later time,
 * any number of times, or never. So it is lost, repeated and overtaken in every way. A node handles
 * a message in memory; then it writes its record and lets the answer out. It may crash before that,
 * and goes on from the disk. (A crash between the write and the answer needs no step of its own: it
 * is an answer that is never taken.) Nodes 0 and 1 propose. The founding
 * view, 3, has the voters {0,1,2}; a decree of value 1 leaves {0}, one of value 2 leaves {1,2}.
 *
 * EPOCHS and BALLOTS bound the search, CRASHES of all nodes. -DBUG=n breaks one rule on purpose:
 *   1 answers leave before the record is durable   2 votes for ballots older than promised
 *   3 votes of a majority of the old voters do     4 votes of a majority of the new voters do
 *   5 a proposer ignores votes that promises tell  6 a view is acted on before it is durable
 *   7 none, but the goal is an error: the search gets there
 */
#ifndef BUG
#define BUG 0
#endif
#ifndef EPOCHS
#define EPOCHS 1 /* epochs that are decided, after the founding one */
#endif
#ifndef BALLOTS
#define BALLOTS 3
#endif
#ifndef CRASHES
#define CRASHES 1
#endif

#define NODES 3
#define E EPOCHS

/* Ballot b of 1..BALLOTS belongs to node (b + 1) % 2; node 0 wishes value 1, node 1 value 2. */
#define OWNER(b) (((b) + 1) % 2)
#define IN(set, n) (((set) >> (n)) & 1)
#define COUNT(set) (IN(set, 0) + IN(set, 1) + IN(set, 2))
#define VOTERS(v) ((v) == 1 -> 1 : ((v) == 2 -> 6 : 7))
#define MAJORITY(voters, set) (COUNT((set) & (voters)) * 2 > COUNT(voters))
#define AT(e, b) ((e) * (BALLOTS + 1) + (b))
#define CELLS ((EPOCHS) * (BALLOTS + 1))

typedef Record {
  byte epoch;    /* committed: 0 is the founding one */
  byte view;     /* its value */
  byte promised; /* for epoch + 1 */
  byte ballot;   /* of the last vote for epoch + 1 */
  byte value;    /* and what it was for */
}

/* What was sent, by epoch index (epoch - 1) and ballot. */
byte prepared[CELLS];  /* 1: prepare was sent */
byte promises[CELLS];  /* set of nodes */
byte told[CELLS * 3];  /* the vote that a promise tells: ballot * 4 + value */
byte proposal[CELLS];  /* accept: its value */
byte votes[CELLS];     /* set of nodes */
byte learned[E];       /* set of values, as bits */

Record memory[NODES];
Record disk[NODES];
byte held[NODES];       /* 0 nothing, 1 prepare, 2 promise, 3 vote, 4 commit: waits for the disk */
byte held_ballot[NODES];
byte crashes;
byte round[2];          /* a proposer's ballot under way; 0: none */
byte shown[NODES];      /* ghost: the latest epoch that a node acted on */
byte chosen[E];         /* ghost: what the disks have decided */

/* The rules that -DBUG breaks. */
#if BUG == 2
#define MAY_VOTE(n, b) true
#else
#define MAY_VOTE(n, b) ((b) >= memory[n].promised)
#endif
#if BUG == 3
#define IS_COMMIT(old, new, set) MAJORITY(old, set)
#elif BUG == 4
#define IS_COMMIT(old, new, set) MAJORITY(new, set)
#else
#define IS_COMMIT(old, new, set) (MAJORITY(old, set) && MAJORITY(new, set))
#endif
/* Lets a message leave without the record being written. */
#if BUG == 1
#define MAY_FORGET(n) (held[n] == 2 || held[n] == 3)
#elif BUG == 6
#define MAY_FORGET(n) (held[n] == 4)
#else
#define MAY_FORGET(n) false
#endif

/* Scratch, always back at 0. */
byte x_b, x_set, x_v, x_i, x_e;

inline note_chosen() {
  d_step {
    x_e = 0;
    do
    :: x_e < E ->
      x_b = 1;
      do
      :: x_b <= BALLOTS ->
        x_set = 0; x_v = 0; x_i = 0;
        do
        :: x_i < NODES ->
          if
          :: disk[x_i].epoch == x_e && disk[x_i].ballot == x_b ->
            x_set = x_set | (1 << x_i); x_v = disk[x_i].value
          :: else
          fi;
          x_i++
        :: else -> break
        od;
        if
        /* Who votes is named by the epoch before. */
        :: x_v != 0 && MAJORITY(VOTERS(x_e == 0 -> 3 : chosen[x_e - (x_e == 0 -> 0 : 1)]), x_set) &&
           MAJORITY(VOTERS(x_v), x_set) ->
          assert(chosen[x_e] == 0 || chosen[x_e] == x_v);
          chosen[x_e] = x_v
        :: else
        fi;
        x_b++
      :: else -> break
      od;
      x_e++
    :: else -> break
    od;
    x_b = 0; x_set = 0; x_v = 0; x_i = 0; x_e = 0
  }
}

/* Takes effect in memory; `what` may leave once it is durable. */
#define HOLD(n, what, b) held[n] = what; held_ballot[n] = b

/* The record of n as it is goes to disk. */
#define WRITE(n) \
  disk[n].epoch = memory[n].epoch; disk[n].view = memory[n].view; \
  disk[n].promised = memory[n].promised; disk[n].ballot = memory[n].ballot; \
  disk[n].value = memory[n].value

#define READ(n) \
  memory[n].epoch = disk[n].epoch; memory[n].view = disk[n].view; \
  memory[n].promised = disk[n].promised; memory[n].ballot = disk[n].ballot; \
  memory[n].value = disk[n].value

#define BEGIN_EPOCH(n, e, v) \
  memory[n].epoch = e; memory[n].view = v; memory[n].promised = 0; memory[n].ballot = 0; \
  memory[n].value = 0

proctype Node(byte n) {
  byte b, cell, e, best, value, quorum;

  do
  /* --- the proposer --- */
  :: atomic { /* begins a round under its next ballot */
      n < 2 && held[n] == 0 && memory[n].epoch < E && IN(VOTERS(memory[n].view), n) ->
      b = (n == 0 -> 1 : 2);
      do
      :: b <= memory[n].promised -> b = b + 2
      :: else -> break
      od;
      if
      :: b <= BALLOTS ->
        round[n] = b;
        memory[n].promised = b;
        HOLD(n, 1, b)
      :: else
      fi;
      b = 0
    }
  :: atomic { /* has a majority's promises: proposes */
      n < 2 && held[n] == 0 && round[n] != 0 && memory[n].epoch < E &&
      proposal[AT(memory[n].epoch, round[n])] == 0 &&
      MAJORITY(VOTERS(memory[n].view), promises[AT(memory[n].epoch, round[n])]) ->
      cell = AT(memory[n].epoch, round[n]);
      /* any majority among those that arrived */
      select(quorum : 1 .. 7);
      if
      :: (quorum & promises[cell]) == quorum && MAJORITY(VOTERS(memory[n].view), quorum) ->
        best = 0; b = 0;
        do
        :: b < NODES ->
          if
          :: IN(quorum, b) && told[cell * 3 + b] > best -> best = told[cell * 3 + b]
          :: else
          fi;
          b++
        :: else -> break
        od;
        value = (best == 0 || BUG == 5 -> n + 1 : best % 4);
        proposal[cell] = value
      :: else
      fi;
      b = 0; cell = 0; best = 0; value = 0; quorum = 0
    }
  :: atomic { /* has the votes: commits */
      n < 2 && held[n] == 0 && round[n] != 0 && memory[n].epoch < E &&
      proposal[AT(memory[n].epoch, round[n])] != 0 &&
      IS_COMMIT(VOTERS(memory[n].view), VOTERS(proposal[AT(memory[n].epoch, round[n])]),
                votes[AT(memory[n].epoch, round[n])]) ->
      value = proposal[AT(memory[n].epoch, round[n])];
      e = memory[n].epoch;
      /* M-11: any majority of the new voters can find the new view on its disks. */
      quorum = 0; b = 0;
      do
      :: b < NODES ->
        if
        :: disk[b].epoch > e || (disk[b].epoch == e && disk[b].value == value) ->
          quorum = quorum | (1 << b)
        :: else
        fi;
        b++
      :: else -> break
      od;
      assert(MAJORITY(VOTERS(value), quorum));
      BEGIN_EPOCH(n, e + 1, value);
      round[n] = 0;
      HOLD(n, 4, 0);
      b = 0; e = 0; value = 0; quorum = 0
    }

  /* --- the voter --- */
  :: atomic { /* a prepare */
      held[n] == 0 && memory[n].epoch < E ->
      select(b : 1 .. BALLOTS);
      if
      :: prepared[AT(memory[n].epoch, b)] == 1 && b >= memory[n].promised &&
         IN(promises[AT(memory[n].epoch, b)], n) == 0 ->
        memory[n].promised = b;
        HOLD(n, 2, b)
      :: else
      fi;
      b = 0
    }
  :: atomic { /* an accept */
      held[n] == 0 && memory[n].epoch < E ->
      select(b : 1 .. BALLOTS);
      if
      :: proposal[AT(memory[n].epoch, b)] != 0 && IN(votes[AT(memory[n].epoch, b)], n) == 0 &&
         MAY_VOTE(n, b) ->
        memory[n].promised = b;
        memory[n].ballot = b;
        memory[n].value = proposal[AT(memory[n].epoch, b)];
        HOLD(n, 3, b)
      :: else
      fi;
      b = 0
    }
  :: atomic { /* hears of a commit, of the next epoch or a later one */
      held[n] == 0 && memory[n].epoch < E && learned[E - 1] + learned[memory[n].epoch] != 0 ->
      if
      :: learned[memory[n].epoch] != 0 -> e = memory[n].epoch
      :: learned[E - 1] != 0 -> e = E - 1
      fi;
      BEGIN_EPOCH(n, e + 1, (learned[e] & 2 -> 1 : 2));
      if
      :: n < 2 -> round[n] = 0
      :: else
      fi;
      HOLD(n, 4, 0);
      e = 0
    }

  /* --- the disk --- */
  :: atomic { /* the record is written, and what was held leaves */
      held[n] != 0 ->
      if
      :: MAY_FORGET(n)
      :: WRITE(n); note_chosen()
      fi;
      cell = AT(memory[n].epoch, held_ballot[n]);
      if
      :: held[n] == 1 -> prepared[cell] = 1
      :: held[n] == 2 ->
        promises[cell] = promises[cell] | (1 << n);
        told[cell * 3 + n] = memory[n].ballot * 4 + memory[n].value
      :: held[n] == 3 -> votes[cell] = votes[cell] | (1 << n)
      :: held[n] == 4 ->
        e = memory[n].epoch - 1;
        assert(learned[e] == 0 || learned[e] == (1 << memory[n].view));
        learned[e] = learned[e] | (1 << memory[n].view);
        shown[n] = memory[n].epoch;
        assert(BUG != 7 || shown[0] != E || shown[1] != E || shown[2] != E)
      fi;
      held[n] = 0; held_ballot[n] = 0;
      cell = 0; e = 0
    }
  :: atomic { /* kill -9, and on from the disk */
      crashes < CRASHES && (held[n] != 0 || BUG != 0 || (n < 2 && round[n % 2] != 0)) ->
      crashes++;
      READ(n);
      assert(memory[n].epoch >= shown[n]); /* M-15: epochs never fall */
      if
      :: n < 2 -> round[n] = 0
      :: else
      fi;
      held[n] = 0; held_ballot[n] = 0
    }
  od
}

init {
  atomic {
    byte i;
    do
    :: i < NODES -> memory[i].view = 3; disk[i].view = 3; i++
    :: else -> break
    od;
    i = 0;
    run Node(0);
    run Node(1);
    run Node(2)
  }
}
