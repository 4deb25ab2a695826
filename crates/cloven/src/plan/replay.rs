//! A small simulation of parties that each work, send and wait, over links that take time.

use std::collections::VecDeque;

use super::{
    link::Link,
    recorder::{Action, Mark, Step},
};

/// What one session does: a client's, or the server's with one client.
#[derive(Clone, Copy)]
pub(super) struct Session<'a> {
    /// Sessions of the same process share this number: one of them works at a time.
    pub(super) process: usize,
    /// The session at the other end of the link.
    pub(super) peer: usize,
    pub(super) steps: &'a [Step],
}

/// A mark that a session passed: seconds since the beginning, and how it spent them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Passed {
    pub(super) mark: Mark,
    pub(super) at: f64,
    /// Its own work.
    pub(super) working: f64,
    /// Handing bytes to its socket and taking them from it.
    pub(super) carrying: f64,
}

/// How far a session is.
struct State {
    next: usize,
    /// Whether the work before the next action is done.
    worked: bool,
    /// When it can go on.
    ready: f64,
    working: f64,
    carrying: f64,
    marks: Vec<Passed>,
    /// Frames under way to it: arrival and length.
    incoming: VecDeque<(f64, u64)>,
    /// When its line has carried all it was given.
    line: f64,
    /// Whether its last wait was short: then the next is spent polling.
    polls: bool,
}

/// Plays sessions against each other; `cores` is the number of processes that can work at the same time. Returns what marks each passed;
/// sessions that wait for ever stop there.
pub(super) fn replay(sessions: &[Session<'_>], link: &Link, cores: usize) -> Vec<Vec<Passed>> {
    let mut states: Vec<State> = sessions.iter().map(|_| State::new()).collect();
    let processes = sessions.iter().map(|session| session.process + 1).max().unwrap_or(0);
    let mut free = vec![0.0_f64; processes];
    let mut cores = vec![0.0_f64; cores.max(1)];
    loop {
        let next = (0..sessions.len())
            .filter_map(|index| Some((index, begins(index, sessions, &states, &free, &cores)?)))
            .min_by(|a, b| a.1.total_cmp(&b.1));
        let Some((index, begins)) = next else { break };
        let Session { process, peer, steps } = sessions[index];
        let step = steps[states[index].next];
        let state = &mut states[index];
        let end = if !state.worked {
            state.worked = true;
            state.working += step.seconds;
            begins + step.seconds
        } else {
            (state.next, state.worked) = (state.next + 1, false);
            match step.action {
                Action::Send(bytes) => {
                    let sent = link.send(begins, bytes, &mut state.line);
                    state.carrying += sent.free - begins;
                    states[peer].incoming.push_back((sent.arrives, bytes));
                    sent.free
                }
                Action::Receive => {
                    let (arrived, bytes) = state.incoming.pop_front().unwrap_or((begins, 0));
                    let done = link.receive(state.ready, arrived.max(begins), bytes, &mut state.polls);
                    state.carrying += done - arrived.max(begins);
                    done
                }
                Action::Mark(mark) => {
                    let (at, working, carrying) = (begins, state.working, state.carrying);
                    state.marks.push(Passed {
                        mark,
                        at,
                        working,
                        carrying,
                    });
                    begins
                }
            }
        };
        states[index].ready = end;
        free[process] = end;
        if let Some(core) = cores.iter_mut().min_by(|a, b| a.total_cmp(b)) {
            *core = core.max(end);
        }
    }
    states.into_iter().map(|state| state.marks).collect()
}

/// When a session can do what comes next; `None` while it waits for another.
fn begins(index: usize, sessions: &[Session<'_>], states: &[State], free: &[f64], cores: &[f64]) -> Option<f64> {
    let (session, state) = (&sessions[index], &states[index]);
    let step = session.steps.get(state.next)?;
    let mut ready = state.ready;
    if state.worked {
        match step.action {
            Action::Receive => ready = ready.max(state.incoming.front()?.0),
            Action::Mark(_) => {
                for (other, its) in sessions.iter().zip(states) {
                    if other.process == session.process && its.marks.len() <= state.marks.len() {
                        let there = its.worked && matches!(other.steps.get(its.next)?.action, Action::Mark(_));
                        ready = ready.max(its.ready);
                        if !there {
                            return None;
                        }
                    }
                }
            }
            Action::Send(_) => (),
        }
    }
    let core = match cores.len() >= free.len() {
        true => 0.0,
        false => cores.iter().copied().fold(f64::INFINITY, f64::min),
    };
    Some(ready.max(free[session.process]).max(core))
}

impl State {
    fn new() -> Self {
        Self {
            next: 0,
            worked: false,
            ready: 0.0,
            working: 0.0,
            carrying: 0.0,
            marks: Vec::new(),
            incoming: VecDeque::new(),
            line: 0.0,
            polls: true,
        }
    }
}
