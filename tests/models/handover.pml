/* A held hand-over (docs/membership.md, M-40 to M-46): node 0 owns two slots and hands them to node
 * 1, a batch of one slot at a time, while a sender (node 2) has three messages under way: 0 and 1
 * of one key in slot 0, in that order, and 2 in slot 1. The operator may abort once: batches that
 * have moved are handed back in the same way. Each engine may crash at any step; what its programs
 * have applied stays with them, what it held is lost, and the sender sends it again.
 *
 * Committing a view is one step here: register.pml shows that it may be taken so. A decree that was
 * proposed may be committed at any later time until another is, also after its proposer crashed.
 *
 * CRASHES bounds the crashes. -DBUG=n breaks one rule on purpose:
 *   1 the old owner resumes while its decree is under way      2 it does not wait for what is out
 *   3 no changes are sent after the bulk copy                  4 it hands out what it held itself
 *   5 a restarted node serves under the view it stopped in     6 an abort forgets what has moved
 *   7 predecessors are not looked at                           8 the new owner serves before commit
 *   9 none, but the goal is an error: the search gets there
 */
#ifndef BUG
#define BUG 0
#endif
#ifndef CRASHES
#define CRASHES 1
#endif
#ifndef ABORTS
#define ABORTS 1
#endif

#define SLOTS 2
#define MESSAGES 3
#define SLOT(m) ((m) / 2) /* 0, 0, 1 */
#define NOBODY 3
#define CELL(n, x) ((n) * MESSAGES + (x))

/* The agreed view, and how much of it each node knows. Epochs are not counted, that would only make
 * equal states look different: what matters is who is behind the newest. */
byte owner[SLOTS];    /* as agreed last */
byte mine[2];         /* slots that are a node's under the view that it goes by, as a set */
bool behind[2];       /* that view is not the newest */
bool returning[2];    /* it started again under that view, and must not serve under it (M-25) */

/* One batch under way. */
byte batch = NOBODY;    /* slot */
byte from, to;          /* nodes */
byte stage;             /* 0 none, 1 serving, bulk copied, 2 held, 3 changes imported, 4 proposed */
bool in_flight;         /* a decree that gives `batch` to `to` may still be committed */
byte flight_slot, flight_to;
bool aborted;
byte aborts, crashes, others;

/* Messages. At the sender: 0 to be sent, 1 + n sent to n, 4 done. */
#define DONE 4
byte state[MESSAGES];
byte guess[SLOTS]; /* where the sender believes the owner to be */
/* At a node: 0 not there, 1 arrived or held, 2 handed to a program, 3 applied, answer under way. */
byte at[2 * MESSAGES];
bool follows;      /* message 1 was sent when message 0 had no outcome */
bool met[2];       /* this life of the node has handed out message 0 */
/* How often a node's program has applied it, counting what came with an import: 0, 1, more. After a
 * crash only whether it has. */
#define LIMIT (crashes > 0 -> 1 : 2)
byte applied[2 * MESSAGES];
byte copied[MESSAGES]; /* what the importer of the batch has got */
byte handed[MESSAGES]; /* ghost: how often it was handed out, anywhere */

#define OUT_OF_SERVICE(n, s) (batch == (s) && from == (n) && stage >= 2)
#define SERVES(n, s) \
  ((((mine[n] >> (s)) & 1) && (!returning[n] || BUG == 5) && \
    !OUT_OF_SERVICE(n, s)) || (BUG == 8 && batch == (s) && to == (n) && stage >= 3))
#define OWNS(n) ((owner[0] == (n) -> 1 : 0) + (owner[1] == (n) -> 2 : 0))
#define RETURNS(n) (returning[n] && !behind[n])
/* Whatever was under way for it is superseded, unless it is this. */
#define NEW_EPOCH \
  behind[0] = true; behind[1] = true; in_flight = false; flight_slot = 0; flight_to = 0
#define IS_OUT(n, s) \
  ((s) == 0 -> at[CELL(n, 0)] == 2 || at[CELL(n, 1)] == 2 : at[CELL(n, 2)] == 2)
#define TARGET (aborted -> 0 : 1)
#define END_BATCH batch = NOBODY; stage = 0; from = 0; to = 0; \
  copied[0] = 0; copied[1] = 0; copied[2] = 0

/* What a serving node's programs know of what is done: once, or more often after a crash. */
#define KNOWS(n, m) \
  (state[m] != DONE || (applied[CELL(n, m)] > 0 && (crashes > 0 || applied[CELL(n, m)] == 1)))

inline send_back(n, x) {
  at[CELL(n, x)] = 0;
  if
  :: state[x] == 1 + n -> state[x] = 0; guess[SLOT(x)] = owner[SLOT(x)]
  :: else
  fi
}

inline hand_out(n, x) {
  /* M-46: never by two owners; a second time only because of a crash. */
  assert(!SERVES(1 - n, SLOT(x)));
  at[CELL(n, x)] = 2;
  if
  :: crashes == 0 -> handed[x]++; assert(handed[x] == 1)
  :: else
  fi;
  if
  :: x == 0 -> met[n] = true
  :: else
  fi
}

init {
  byte n, x, s;
  mine[0] = 3;

  do
  /* --- the sender: of one key in order, to one node as long as an elder has no outcome --- */
  :: atomic {
      select(x : 0 .. MESSAGES - 1);
      /* M-46: none is lost: what the sender waits for is somewhere. This step can be taken in
       * every state, so this holds in every state. */
      assert(state[x] == 0 || state[x] == DONE || at[CELL(state[x] - 1, x)] != 0);
      if
      :: state[x] == 0 && at[CELL(guess[SLOT(x)], x)] == 0 &&
         (x != 1 || state[0] == DONE || state[0] == 1 + guess[0]) ->
        state[x] = 1 + guess[SLOT(x)];
        at[CELL(guess[SLOT(x)], x)] = 1;
        if
        :: x == 1 -> follows = (state[0] != DONE)
        :: else
        fi
      :: else
      fi;
      x = 0
    }

  /* --- a node takes what arrived --- */
  :: atomic {
      select(n : 0 .. 1); select(x : 0 .. MESSAGES - 1);
      if
      :: at[CELL(n, x)] == 1 && SERVES(n, SLOT(x)) ->
        assert(KNOWS(n, x));
        if
        :: x == 1 && follows && !met[n] && at[CELL(n, 0)] == 0 && BUG != 7 -> send_back(n, x)
        :: x == 1 && follows && !met[n] && at[CELL(n, 0)] == 1 && BUG != 7 /* waits for it */
        :: x != 1 || !follows || met[n] || BUG == 7 -> hand_out(n, x)
        fi
      :: at[CELL(n, x)] == 1 && ((mine[n] >> SLOT(x)) & 1) == 0 && !behind[n] &&
         !SERVES(n, SLOT(x)) ->
        /* M-40 (5): the oldest first */
        if
        :: x != 1 || at[CELL(n, 0)] != 1 -> send_back(n, x)
        :: else
        fi
      :: else
      fi;
      n = 0; x = 0
    }

  /* --- its program applies in order, then the sender hears of it --- */
  :: atomic {
      select(n : 0 .. 1); select(x : 0 .. MESSAGES - 1);
      if
      :: at[CELL(n, x)] == 2 && (x != 1 || at[CELL(n, 0)] != 2) ->
        applied[CELL(n, x)] = (applied[CELL(n, x)] < LIMIT -> applied[CELL(n, x)] + 1 : LIMIT);
        assert(x != 1 || applied[CELL(n, 0)] > 0); /* M-46: order of the key */
        at[CELL(n, x)] = 3
      :: at[CELL(n, x)] == 3 ->
        at[CELL(n, x)] = 0;
        if
        :: state[x] == 1 + n -> state[x] = DONE
        :: else
        fi;
        if
        :: x == 1 -> follows = false
        :: else
        fi
      :: else
      fi;
      n = 0; x = 0
    }

  /* --- the batch, M-40 --- */
  :: atomic { /* (1) bulk copy */
      batch == NOBODY && !in_flight ->
      select(s : 0 .. SLOTS - 1);
      if
      :: owner[s] != TARGET && !behind[owner[s]] && SERVES(owner[s], s) ->
        batch = s; from = owner[s]; to = TARGET; stage = 1;
        x = 0;
        do
        :: x < MESSAGES ->
          if
          :: SLOT(x) == s -> copied[x] = applied[CELL(from, x)]
          :: else
          fi;
          x++
        :: else -> break
        od
      :: else
      fi;
      s = 0; x = 0
    }
  :: atomic { stage == 1 -> stage = 2 } /* (2) hold */
  :: atomic { /* (3) nothing is out: the changes are imported and that is confirmed */
      stage == 2 && (!IS_OUT(from, batch) || BUG == 2) ->
      x = 0;
      do
      :: x < MESSAGES ->
        if
        :: SLOT(x) == batch ->
          applied[CELL(to, x)] = (BUG == 3 -> copied[x] : applied[CELL(from, x)])
        :: else
        fi;
        x++
      :: else -> break
      od;
      x = 0;
      stage = 3
    }
  :: atomic { /* (4) proposed, for the epoch after the newest: a node that is behind is refused */
      stage == 3 && !behind[from] ->
      stage = 4; in_flight = true; flight_slot = batch; flight_to = to
    }
  :: atomic { /* M-44: given up; M-42 says until when */
      stage >= 1 && (stage < 4 || BUG == 1) ->
      END_BATCH
    }

  /* --- agreement --- */
  :: atomic { /* the decree under way is committed */
      in_flight ->
      owner[flight_slot] = flight_to; NEW_EPOCH
    }
  :: atomic { /* or another is: one for a node that started again, or one that moves nothing */
      RETURNS(0) || RETURNS(1) || (in_flight && others == 0) ->
      if
      :: in_flight && others == 0 -> others = 1
      :: RETURNS(0) || RETURNS(1)
      fi;
      NEW_EPOCH
    }
  :: atomic { /* a node hears of it: now it knows how its batch ended */
      behind[0] || behind[1] ->
      if
      :: behind[0] -> n = 0
      :: behind[1] -> n = 1
      fi;
      behind[n] = false; returning[n] = false; mine[n] = OWNS(n);
      if
      :: stage == 4 && from == n && !in_flight ->
        if
        :: BUG == 4 && owner[batch] != n && at[CELL(n, 2)] == 1 && batch == 1 -> hand_out(n, 2)
        :: BUG == 4 && owner[batch] != n && at[CELL(n, 0)] == 1 && batch == 0 -> hand_out(n, 0)
        :: else
        fi;
        END_BATCH
      :: else
      fi;
      n = 0
    }

  /* --- the operator changes his mind --- */
  :: atomic {
      aborts < ABORTS ->
      aborts++; aborted = true;
      if
      :: BUG == 6 && owner[0] + owner[1] > 0 && !in_flight ->
        owner[0] = 0; owner[1] = 0; NEW_EPOCH
      :: else
      fi
    }

  /* --- kill -9 of an engine, and its restart, M-45 --- */
  :: atomic {
      crashes < CRASHES ->
      select(n : 0 .. 1);
      crashes++;
      x = 0;
      do
      :: x < MESSAGES ->
        at[CELL(n, x)] = 0;
        handed[x] = 0;
        applied[CELL(0, x)] = (applied[CELL(0, x)] > 0 -> 1 : 0);
        applied[CELL(1, x)] = (applied[CELL(1, x)] > 0 -> 1 : 0);
        copied[x] = (copied[x] > 0 -> 1 : 0);
        if
        :: state[x] == 1 + n -> state[x] = 0
        :: else
        fi;
        x++
      :: else -> break
      od;
      x = 0;
      met[n] = false;
      returning[n] = true;
      if
      :: batch != NOBODY && from == n -> END_BATCH /* but its decree goes on */
      :: batch != NOBODY && to == n && stage < 3 -> END_BATCH /* M-43 */
      :: else
      fi;
      n = 0
    }

  /* --- all is done: everything was moved, or moved back --- */
  :: atomic {
      state[0] == DONE && state[1] == DONE && state[2] == DONE && batch == NOBODY && !in_flight &&
      owner[0] == TARGET && owner[1] == TARGET && !behind[0] && !behind[1] &&
      SERVES(TARGET, 0) && SERVES(TARGET, 1) ->
      assert(BUG != 9);
      assert(KNOWS(TARGET, 0) && KNOWS(TARGET, 1) && KNOWS(TARGET, 2));
      break
    }
  od
}
