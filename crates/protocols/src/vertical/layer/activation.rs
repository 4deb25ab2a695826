//! `private_activation`: relu(h1) on the holders' shares, so that the server gets it and not h1 ([`cloven_mpc::activation`], on shared bits).

use cloven_mpc::{
    MpcError, Session,
    activation::{Relu, Step},
    boolean::{Messages, TransferSetup, Transfers, Triples},
    circuit::{Goal, Party as Number},
    transfer::Width,
};
use cloven_wire::{Channel, Message};

use crate::{
    ProtocolError,
    error::refused,
    vertical::{
        ActivationCircuit,
        msg::{ActivationShare, ActivationStep},
        peers::Peers,
    },
};

/// Width of the transfers: fewer bytes for more hashing.
const WIDTH: u32 = 4;
/// No step of one batch is longer.
const STEP: usize = 1 << 28;

/// The circuit.
pub(in crate::vertical) fn relu(holders: usize, circuit: ActivationCircuit) -> Result<Relu, ProtocolError> {
    let goal = match circuit {
        ActivationCircuit::FewAnds => Goal::FewAnds,
        ActivationCircuit::LowDepth => Goal::LowDepth,
    };
    Ok(Relu::new(holders, goal)?)
}

/// Width of the transfers.
pub(in crate::vertical) fn transfer_width() -> Result<Width, ProtocolError> {
    Ok(Width::new(WIDTH)?)
}

pub(super) struct Activation {
    number: Number,
    relu: Relu,
    transfers: Transfers,
}

impl Activation {
    /// Base transfers between every two holders. The session is of this beginning of the run only: transfers are counted from here.
    pub(super) async fn begin<C: Channel>(
        place: usize,
        circuit: ActivationCircuit,
        session: &Session,
        peers: &mut Peers<'_, C>,
    ) -> Result<Self, ProtocolError> {
        let (number, holders) = (Number(place as u8), peers.fellows.len() + 1);
        let before = peers.traffic();
        let (setup, messages) = TransferSetup::start(session, (number, holders), transfer_width()?)?;
        let received = exchange(peers, 0, messages).await?;
        let (points, messages) = check(peers, 0, setup.points(&received))?;
        let received = exchange(peers, 0, messages).await?;
        let (sums, messages) = check(peers, 0, points.sums(&received))?;
        let received = exchange(peers, 0, messages).await?;
        peers.count_prepared(before);
        Ok(Self {
            number,
            relu: relu(holders, circuit)?,
            transfers: check(peers, 0, sums.finish(&received))?,
        })
    }

    /// Evaluates relu on the values of which `shares` are this holder's, and sends the server this holder's share of the result.
    pub(super) async fn reveal<C: Channel>(
        &mut self,
        peers: &mut Peers<'_, C>,
        round: u64,
        shares: &[u64],
    ) -> Result<(), ProtocolError> {
        let mut triples = Vec::new();
        let before = peers.traffic();
        for values in self.relu.chunks(shares.len())? {
            triples.push(self.triples(peers, round, values).await?);
        }
        peers.count_prepared(before);
        let mut step = self.relu.start(self.number, shares, triples)?;
        loop {
            match step {
                Step::Exchange(waiting, bytes) => {
                    let received = exchange(peers, round, vec![bytes; peers.fellows.len()]).await?;
                    step = check(peers, round, waiting.step(&received))?;
                }
                Step::Reveal(bytes) => return Ok(peers.server.send(round, &ActivationShare(bytes)).await?),
            }
        }
    }

    async fn triples<C: Channel>(
        &mut self,
        peers: &mut Peers<'_, C>,
        round: u64,
        values: usize,
    ) -> Result<Triples, ProtocolError> {
        let (extending, messages) = self.transfers.begin(self.relu.circuit().ands(), values)?;
        let received = exchange(peers, round, messages).await?;
        let (maker, messages) = check(peers, round, self.transfers.choose(extending, &received))?;
        let received = exchange(peers, round, messages).await?;
        let (masking, messages) = check(peers, round, maker.mask(&received))?;
        let received = exchange(peers, round, messages).await?;
        check(peers, round, masking.finish(&received))
    }
}

async fn exchange<C: Channel>(peers: &mut Peers<'_, C>, round: u64, messages: Messages) -> Result<Messages, ProtocolError> {
    let messages = messages.into_iter().map(ActivationStep).collect();
    let received = peers.exchange(round, messages, &vec![STEP; peers.fellows.len()]).await?;
    Ok(received.into_iter().map(|ActivationStep(bytes)| bytes).collect())
}

/// A step on what all fellows sent; where there are several, it may be any of theirs that cannot be.
fn check<T, C: Channel>(peers: &Peers<'_, C>, round: u64, result: Result<T, MpcError>) -> Result<T, ProtocolError> {
    result.map_err(|cause| match peers.fellows.first() {
        Some(fellow) => refused(fellow.link.peer(), round, ActivationStep::NAME, &cause),
        None => cause.into(),
    })
}
