//! The evaluator's preparation of a chunk.

use super::pieces;
use crate::{
    Batch, BitMatrix, MpcError,
    boolean::Transfers,
    correlation::CotReceiver,
    garbling::bmr::{and_bytes, sum_rows},
    nonlinear::{Layer, Next, Resume, exchange::take},
};

/// The evaluator that waits for the garblers' tables of a chunk.
pub(in crate::nonlinear) struct Awaiting<'p, 'l> {
    layer: &'l Layer,
    outputs: usize,
    tables: Tables,
    /// Rounds without a message before the tables.
    silent: usize,
    /// The preparation is this chunk's until it is done.
    _transfers: std::marker::PhantomData<&'p mut Transfers>,
}

/// What the evaluator keeps of a chunk, piece by piece.
pub(in crate::nonlinear) struct Tables(pub Vec<PieceTables>);

/// One piece.
pub(in crate::nonlinear) struct PieceTables {
    pub batch: Batch,
    /// The sums of all garblers' tables, per AND, instance and garbler.
    pub rows: Vec<[u128; 3]>,
    /// Per garbler the words for the output bits, a row for each bit.
    pub words: Vec<Vec<Vec<u64>>>,
    /// From each garbler the transfers for the evaluator's inputs.
    pub transfers: Vec<CotReceiver>,
}

impl<'p, 'l> Awaiting<'p, 'l> {
    pub fn start(transfers: &'p mut Transfers, layer: &'l Layer, outputs: usize) -> Result<Next<Self>, MpcError> {
        let (garblers, rows) = (layer.parties - 1, layer.input_bits());
        let (mut outgoing, mut receivers) = (Vec::new(), Vec::new());
        for garbler in 0..garblers {
            let (receiver, extension) = transfers.receive(garbler, rows * outputs)?;
            receivers.push(receiver);
            outgoing.push(extension);
        }
        let mut tables = Vec::new();
        for instances in pieces(outputs) {
            // The second batch is the garblers' alone.
            let [batch, _] = [transfers.batch(instances)?, transfers.batch(instances)?];
            tables.push(PieceTables {
                batch,
                rows: Vec::new(),
                words: Vec::new(),
                transfers: receivers.iter_mut().map(|all| all.split(rows * instances)).collect(),
            });
        }
        let state = Self {
            layer,
            outputs,
            tables: Tables(tables),
            silent: layer.preparation_rounds() - 1,
            _transfers: std::marker::PhantomData,
        };
        Ok(Next::exchange(state, outgoing, vec![0; garblers]))
    }

    /// Bytes of a piece's tables from one garbler.
    fn table_bytes(&self, instances: usize) -> usize {
        and_bytes(self.layer.parties - 1) * self.layer.circuit.ands() * instances
    }

    fn take(&mut self, messages: &[&[u8]]) -> Result<(), MpcError> {
        let layer = self.layer;
        let mut rests = messages.to_vec();
        for (at, instances) in pieces(self.outputs).enumerate() {
            let bytes = self.table_bytes(instances);
            let piece = &mut self.tables.0[at];
            piece.rows = vec![[0; 3]; bytes / 48];
            for (index, rest) in rests.iter_mut().enumerate() {
                sum_rows(take(rest, bytes)?, &mut piece.rows);
                let mut words = Vec::with_capacity(layer.conversions());
                for bits in (0..layer.conversions()).map(|bit| layer.ring.bits - bit) {
                    let bytes = take(rest, BitMatrix::encoded_len(bits, instances))?;
                    let rows = BitMatrix::decode(bits, instances, bytes).map_err(MpcError::of(index))?;
                    words.push(rows.to_values());
                }
                piece.words.push(words);
            }
        }
        Ok(())
    }
}

impl Resume for Awaiting<'_, '_> {
    type Output = Tables;

    fn resume(mut self, messages: &[&[u8]]) -> Result<Next<Self>, MpcError> {
        let garblers = self.layer.parties - 1;
        match self.silent {
            0 => {
                self.take(messages)?;
                Ok(Next::Done(self.tables))
            }
            1 => {
                self.silent = 0;
                let bytes = |instances| self.table_bytes(instances) + self.layer.projection_bytes(instances);
                let expected = vec![pieces(self.outputs).map(bytes).sum(); garblers];
                Ok(Next::exchange(self, vec![Vec::new(); garblers], expected))
            }
            _ => {
                self.silent -= 1;
                Ok(Next::exchange(self, vec![Vec::new(); garblers], vec![0; garblers]))
            }
        }
    }
}
