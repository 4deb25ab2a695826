//! What parties set up once, and what every preparation comes from.

use super::{
    Engine, Layer, Next, Preparation, Resume, boolean, garbled,
    marks::Marks,
    preparation::{Chunk, Material, Stage},
};
use crate::{
    MpcError, Session,
    boolean::{TransferPoints, TransferSetup, TransferSums, Transfers},
    circuit::Party,
    wire::{expect_count, expect_equal},
};

/// A party that sets up transfers with every other one, in three rounds. Done once in a session.
pub struct Setup {
    stage: Round,
    peers: usize,
    marks: Marks,
}

enum Round {
    Announced(TransferSetup),
    Points(TransferPoints),
    Sums(TransferSums),
}

/// Transfers with every other party, and numbers for chunks: nothing that comes out of it comes a second time. All parties prepare the same
/// chunks of the same layers in the same order.
pub struct Preparer {
    pub(super) transfers: Transfers,
    marks: Marks,
}

impl Setup {
    /// Begins at `party` of `parties`, in a session that is the parties' own and used for nothing else.
    ///
    /// # Errors
    /// [`MpcError::Count`] for fewer than two or more than [`MAX_PARTIES`](crate::boolean::MAX_PARTIES) parties, or a number that is none of theirs.
    pub fn start(session: &Session, (party, parties): (Party, usize)) -> Result<Next<Self>, MpcError> {
        let session = session.child(b"nonlinear");
        let (setup, messages) = TransferSetup::start(&session, (party, parties), Layer::width()?)?;
        let setup = Self {
            stage: Round::Announced(setup),
            peers: parties - 1,
            marks: Marks::new(session.public_key("nonlinear marks")),
        };
        Ok(setup.wait(messages, 32))
    }

    fn wait(self, messages: Vec<Vec<u8>>, bytes: usize) -> Next<Self> {
        let expected = vec![bytes; self.peers];
        Next::exchange(self, messages, expected)
    }
}

impl Resume for Setup {
    type Output = Preparer;

    fn resume(self, messages: &[&[u8]]) -> Result<Next<Self>, MpcError> {
        let Self { stage, peers, marks } = self;
        let (stage, outgoing) = match stage {
            Round::Announced(setup) => {
                let (points, outgoing) = setup.points(messages)?;
                (Round::Points(points), outgoing)
            }
            Round::Points(points) => {
                let (sums, outgoing) = points.sums(messages)?;
                (Round::Sums(sums), outgoing)
            }
            Round::Sums(sums) => {
                return Ok(Next::Done(Preparer {
                    transfers: sums.finish(messages)?,
                    marks,
                }));
            }
        };
        // 128 points of 32 bytes, then two words of 16 bytes for each.
        Ok(Self { stage, peers, marks }.wait(outgoing, 4096))
    }
}

impl Preparer {
    /// The party and how many there are.
    pub fn place(&self) -> (Party, usize) {
        self.transfers.place()
    }

    /// Begins the preparation of one chunk of `outputs` outputs. A preparation that fails leaves transfers behind that no other party has: the
    /// parties then set up again in a new session.
    ///
    /// # Errors
    /// [`MpcError::Count`] for none or more than [`Layer::chunk`]; [`MpcError::Mismatch`] for a layer of another number of parties.
    pub fn prepare<'l>(&mut self, layer: &'l Layer, outputs: usize) -> Result<Next<Preparation<'_, 'l>>, MpcError> {
        let (party, parties) = self.place();
        expect_equal("parties of the layer", layer.parties, parties)?;
        expect_count("outputs of a chunk", outputs, 1, layer.chunk())?;
        let chunk = Chunk {
            mark: self.marks.next(layer, outputs),
            outputs,
            place: (layer.id(), party.0.into()),
        };
        let transfers = &mut self.transfers;
        let next = match layer.engine {
            Engine::Boolean(_) => boolean::Preparing::start(transfers, layer, outputs)?
                .map(|state| Stage::Boolean(Box::new(state)), Material::Boolean),
            Engine::Garbled if usize::from(party.0) + 1 < parties => {
                garbled::Garbling::start(transfers, layer, outputs)?.map(Stage::Garbler, Material::Garbler)
            }
            Engine::Garbled => garbled::Awaiting::start(transfers, layer, outputs)?.map(Stage::Evaluator, Material::Evaluator),
        };
        Ok(Preparation::begin(next, chunk))
    }
}
