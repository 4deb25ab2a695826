//! What the parties of one thread saw of all wires, for the attacks of the tests.

use crate::{BitMatrix, garbling::bmr::Common};
use std::cell::RefCell;

/// A garbler's side of one piece.
pub struct GarblerView {
    pub party: usize,
    pub delta: u128,
    /// The labels of external value 0, per wire and instance, and shares of the masks, a row per wire.
    pub labels: Vec<u128>,
    pub masks: BitMatrix,
}

/// Everything since it was taken last: of garblers in the order of their pieces, and the evaluator's active labels, per piece, garbler, wire and instance.
#[derive(Default)]
pub struct Views {
    pub garblers: Vec<GarblerView>,
    pub evaluator: Vec<Vec<Vec<u128>>>,
}

thread_local! {
    static VIEWS: RefCell<Views> = RefCell::default();
}

pub fn garbler(common: &Common<'_>) {
    let view = GarblerView {
        party: common.party.0.into(),
        delta: common.wires.delta.value(),
        labels: common.wires.labels.clone(),
        masks: common.wires.masks.slice(0, common.wires.masks.rows()),
    };
    VIEWS.with_borrow_mut(|views| views.garblers.push(view));
}

pub fn evaluator(labels: &[Vec<u128>]) {
    VIEWS.with_borrow_mut(|views| views.evaluator.push(labels.to_vec()));
}

pub fn take() -> Views {
    VIEWS.take()
}
