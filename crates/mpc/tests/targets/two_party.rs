//! Non-linear layers between a user and a gateway. A message goes into one of them; what comes of it is thrown away.

use super::{Form, Target, session};
use cloven_mpc::MpcError;
use cloven_mpc::nonlinear::{Exchange, Next, Operation, Resume, Ring};
use cloven_mpc::two_party::{Layer, gateway, user};
use std::sync::Mutex;

/// Outputs: rows of two bytes with five bits of padding.
const OUTPUTS: usize = 11;
const MARK: usize = 8;

/// Where a message is.
#[derive(Clone, Copy)]
struct Slot {
    phase: Phase,
    round: usize,
    to_gateway: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Phase {
    Setup,
    Preparation,
    Online,
}

/// What both end with, if they come so far.
type Ends<G, U> = Option<(<G as Resume>::Output, <U as Resume>::Output)>;

type Pair = (gateway::Preparer, user::Preparer);

/// Parties that were set up, and whose last preparation did not break off.
static READY: Mutex<Vec<Pair>> = Mutex::new(Vec::new());

/// A message in a slot, which `change` replaces.
struct Put<'c> {
    slot: Slot,
    change: &'c dyn Fn(&[u8]) -> Vec<u8>,
    honest: Vec<u8>,
}

impl Put<'_> {
    /// Both to their ends, or to the round of the changed message if that is in this phase.
    fn drive<G: Resume, U: Resume>(
        &mut self,
        phase: Phase,
        (mut gateway, mut user): (Next<G>, Next<U>),
    ) -> Result<Ends<G, U>, MpcError> {
        for round in 0.. {
            let (mut ours, mut theirs) = match (gateway, user) {
                (Next::Exchange(ours), Next::Exchange(theirs)) => (ours, theirs),
                (Next::Done(ours), Next::Done(theirs)) => return Ok(Some((ours, theirs))),
                _ => unreachable!("both take as many rounds"),
            };
            let (to_user, to_gateway) = (outgoing(&mut ours), outgoing(&mut theirs));
            if phase == self.slot.phase && round == self.slot.round {
                self.honest = if self.slot.to_gateway { to_gateway } else { to_user };
                let changed = (self.change)(&self.honest);
                return match self.slot.to_gateway {
                    true => ours.receive(&[changed]).map(|_| None),
                    false => theirs.receive(&[changed]).map(|_| None),
                };
            }
            gateway = ours.receive(&[to_gateway])?;
            user = theirs.receive(&[to_user])?;
        }
        unreachable!("the loop ends");
    }

    fn run(&mut self) -> Result<(), MpcError> {
        let kept = match self.slot.phase {
            Phase::Setup => None,
            _ => READY.lock().unwrap().pop(),
        };
        let pair = match kept {
            Some(pair) => Some(pair),
            None => self.drive(
                Phase::Setup,
                (gateway::Setup::start(&session(0))?, user::Setup::start(&session(1))?),
            )?,
        };
        let Some((mut gateway, mut user)) = pair else { return Ok(()) };
        let layer = layer();
        let begun = (
            gateway.prepare(&layer, OUTPUTS)?,
            user.prepare(&layer, &[5; OUTPUTS], &[6; OUTPUTS])?,
        );
        let Some((ours, theirs)) = self.drive(Phase::Preparation, begun)? else {
            return Ok(());
        };
        READY.lock().unwrap().push((gateway, user));
        let begun = (
            gateway::Online::start(&layer, vec![ours], &[7; OUTPUTS])?,
            user::Online::start(&layer, vec![theirs])?,
        );
        self.drive(Phase::Online, begun).map(|_| ())
    }
}

fn outgoing<S>(exchange: &mut Exchange<S>) -> Vec<u8> {
    exchange.outgoing().swap_remove(0)
}

fn layer() -> Layer {
    let ring = Ring { bits: 24, truncation: 4 };
    Layer::new(Operation::Relu, ring).unwrap()
}

fn attempt(slot: Slot, change: &dyn Fn(&[u8]) -> Vec<u8>) -> Result<Vec<u8>, MpcError> {
    let honest = Vec::new();
    let mut put = Put { slot, change, honest };
    put.run().map(|()| put.honest)
}

/// A target; the mark, if there is one, tells the chunk: a changed bit there is one of this attempt's chunk too.
fn target(name: &'static str, slot: Slot, form: impl Fn(usize) -> Form) -> Target {
    let valid = attempt(slot, &<[u8]>::to_vec).unwrap();
    let form = form(valid.len());
    let mark = if matches!(form, Form::Marked { .. }) { MARK } else { 0 };
    let first = valid.clone();
    Target::new(name, &valid, form, move |bytes| {
        let change = |honest: &[u8]| {
            let mut bytes = bytes.to_vec();
            let chunk = first.iter().zip(honest).take(mark);
            bytes
                .iter_mut()
                .zip(chunk)
                .for_each(|(byte, (first, honest))| *byte ^= first ^ honest);
            bytes
        };
        attempt(slot, &change).map(|_| ())
    })
}

pub fn all() -> Vec<Target> {
    let slot = |phase, round, to_gateway| Slot {
        phase,
        round,
        to_gateway,
    };
    let columns = OUTPUTS;
    let free = move |bytes: usize| Form::Marked {
        free: bytes - MARK,
        columns,
    };
    let tables = 32 * layer().circuit().ands() * OUTPUTS;
    vec![
        target("two_party::gateway::Setup, announcement", slot(Phase::Setup, 0, true), |_| {
            Form::Points
        }),
        target("two_party::user::Setup, points", slot(Phase::Setup, 1, false), |_| {
            Form::Points
        }),
        target("two_party::gateway::Setup, sums", slot(Phase::Setup, 2, true), |_| Form::Free),
        target(
            "two_party::gateway::Preparation, transfers",
            slot(Phase::Preparation, 0, true),
            free,
        ),
        target(
            "two_party::user::Preparation, tables",
            slot(Phase::Preparation, 1, false),
            |_| Form::Marked { free: tables, columns },
        ),
        target("two_party::user::Online, labels", slot(Phase::Online, 0, false), free),
        target("two_party::gateway::Online, answer", slot(Phase::Online, 1, true), |_| {
            Form::Marked { free: 0, columns }
        }),
    ]
}
