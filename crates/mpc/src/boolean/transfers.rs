use super::{TripleMaker, check_parties, peers};
use crate::{
    Batch, Batches, Bits, MpcError, Session,
    circuit::Party,
    correlation::{CotReceiver, CotSender, Delta},
    matrix::expect,
    transfer::{self, MAX_CHUNK, Receiver, ReceiverSetup, Sender, SenderSetup, Width},
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

/// A message to each other party, in order.
pub type Messages = Vec<Vec<u8>>;

/// A party that has announced itself as a receiver to each other party.
pub struct TransferSetup {
    session: Session,
    party: Party,
    parties: usize,
    width: Width,
    receivers: Vec<ReceiverSetup>,
}

/// A party that has answered the announcements.
pub struct TransferPoints {
    setup: TransferSetup,
    senders: Vec<SenderSetup>,
}

/// A party that waits for the last messages of the set-up.
pub struct TransferSums {
    session: Session,
    party: Party,
    parties: usize,
    width: Width,
    senders: Vec<SenderSetup>,
    receivers: Vec<Receiver>,
}

/// Any number of correlated transfers both ways between a party and each other one: where triples come from.
///
/// The parties take the same steps in the same order: `begin`, `choose`, then [`TripleMaker::mask`] and [`super::Masking::finish`], three exchanges for each
/// batch of triples.
pub struct Transfers {
    party: Party,
    parties: usize,
    width: Width,
    links: Vec<(Sender, Receiver)>,
    batches: Batches,
    random: ChaCha20Rng,
}

/// A party that has extended its transfers as a receiver, for one batch of triples.
pub struct Extending {
    batch: Batch,
    ands: usize,
    receivers: Vec<CotReceiver>,
}

impl TransferSetup {
    /// Begins; gives 32 bytes for each other party. All parties give the same session context and width; the set-up is done once in a session.
    ///
    /// # Errors
    /// [`MpcError::Count`] for fewer than two or more than [`super::MAX_PARTIES`] parties, or a number that is none of theirs.
    pub fn start(session: &Session, (party, parties): (Party, usize), width: Width) -> Result<(Self, Messages), MpcError> {
        check_parties(party, parties)?;
        let session = session.child(b"boolean transfers");
        let receive = |peer| ReceiverSetup::new(&link(&session, peer, party.0), width);
        let (receivers, messages) = peers(party, parties).map(receive).unzip();
        let setup = Self {
            session,
            party,
            parties,
            width,
            receivers,
        };
        Ok((setup, messages))
    }

    /// Takes each other party's announcement, in order; gives 4 KiB for each.
    ///
    /// # Errors
    /// [`MpcError::Mismatch`] for another number of messages; [`MpcError::Message`] for one that cannot be: [`MpcError::Length`], [`MpcError::Point`].
    pub fn points<M: AsRef<[u8]>>(self, messages: &[M]) -> Result<(TransferPoints, Messages), MpcError> {
        expect("messages", self.parties - 1, messages.len())?;
        let (mut senders, mut points) = (Vec::new(), Vec::new());
        // One offset for all links, as garbling by several parties takes it; odd: the lowest bits of q and of q ^ delta differ.
        let offset = transfer::Delta::random(&self.session).expose() | 1;
        for (index, (peer, message)) in peers(self.party, self.parties).zip(messages).enumerate() {
            let session = link(&self.session, self.party.0, peer);
            let sender = SenderSetup::new(&session, self.width, transfer::Delta::new(offset), message.as_ref());
            let (sender, message) = sender.map_err(MpcError::of(index))?;
            senders.push(sender);
            points.push(message);
        }
        Ok((TransferPoints { setup: self, senders }, points))
    }
}

impl TransferPoints {
    /// Takes each other party's points, in order; gives 4 KiB for each.
    ///
    /// # Errors
    /// As [`TransferSetup::points`].
    pub fn sums<M: AsRef<[u8]>>(self, messages: &[M]) -> Result<(TransferSums, Messages), MpcError> {
        let TransferSetup {
            session,
            party,
            parties,
            width,
            receivers,
        } = self.setup;
        expect("messages", parties - 1, messages.len())?;
        let finish = |(index, (receiver, message)): (usize, (ReceiverSetup, &M))| {
            receiver.finish(message.as_ref()).map_err(MpcError::of(index))
        };
        let finished = receivers.into_iter().zip(messages).enumerate().map(finish);
        let finished: Vec<_> = finished.collect::<Result<_, _>>()?;
        let (receivers, sums) = finished.into_iter().unzip();
        let waiting = TransferSums {
            session,
            party,
            parties,
            width,
            senders: self.senders,
            receivers,
        };
        Ok((waiting, sums))
    }
}

impl TransferSums {
    /// Takes each other party's sums, in order.
    ///
    /// # Errors
    /// [`MpcError::Mismatch`] for another number of messages; [`MpcError::Message`] for one of another length.
    pub fn finish<M: AsRef<[u8]>>(self, messages: &[M]) -> Result<Transfers, MpcError> {
        expect("messages", self.parties - 1, messages.len())?;
        let senders = self.senders.into_iter().zip(messages).enumerate();
        let senders: Vec<Sender> = senders
            .map(|(index, (sender, message))| sender.finish(message.as_ref()).map_err(MpcError::of(index)))
            .collect::<Result<_, _>>()?;
        Ok(Transfers {
            party: self.party,
            parties: self.parties,
            width: self.width,
            links: senders.into_iter().zip(self.receivers).collect(),
            batches: Batches::new(&self.session.public_key("boolean triples")),
            random: self.session.stream("boolean triples"),
        })
    }
}

impl Transfers {
    /// Begins `ands` triples for each of `instances`, at most [`MAX_CHUNK`] in all; gives a message for each other party.
    ///
    /// # Errors
    /// [`MpcError::Count`] beyond that, or for none.
    pub fn begin(&mut self, ands: usize, instances: usize) -> Result<(Extending, Messages), MpcError> {
        let count = ands.saturating_mul(instances);
        crate::wire::expect_count("transfers", count, 1, MAX_CHUNK)?;
        let batch = self.batches.next(instances)?;
        let (mut receivers, mut messages) = (Vec::new(), Vec::new());
        for link in 0..self.links.len() {
            let (receiver, message) = self.receive(link, count)?;
            receivers.push(receiver);
            messages.push(message);
        }
        let extending = Extending { batch, ands, receivers };
        Ok((extending, messages))
    }

    /// Takes each other party's message, in order, and begins the triples themselves.
    ///
    /// # Errors
    /// [`MpcError::Mismatch`] for another number of messages; [`MpcError::Message`] for one of another length.
    pub fn choose<M: AsRef<[u8]>>(&mut self, extending: Extending, messages: &[M]) -> Result<(TripleMaker, Messages), MpcError> {
        expect("messages", self.parties - 1, messages.len())?;
        let Extending { batch, ands, receivers } = extending;
        let mut transfers = Vec::new();
        for (link, (receiver, message)) in receivers.into_iter().zip(messages).enumerate() {
            let sender = self.send(link, ands * batch.instances(), message.as_ref());
            let sender = sender.map_err(MpcError::of(link))?;
            transfers.push((sender, receiver));
        }
        TripleMaker::start((self.party, self.parties), batch, ands, transfers, &mut self.random)
    }
}

impl Transfers {
    /// The party and how many there are.
    pub(crate) fn place(&self) -> (Party, usize) {
        (self.party, self.parties)
    }

    /// The next numbers for instances, which all parties take in the same order.
    pub(crate) fn batch(&mut self, instances: usize) -> Result<Batch, MpcError> {
        self.batches.next(instances)
    }

    /// A generator of its own.
    pub(crate) fn fork(&mut self) -> ChaCha20Rng {
        ChaCha20Rng::from_rng(&mut self.random)
    }

    /// This party's offset, the same on all links.
    pub(crate) fn offset(&self) -> Result<Delta, MpcError> {
        let link = self.links.first().ok_or(MpcError::EvenOffset)?;
        Delta::new(link.0.delta().expose())
    }

    /// Transfers with random choices from the other party at place `link`, and the message for [`Self::send`] there.
    pub(crate) fn receive(&mut self, link: usize, count: usize) -> Result<(CotReceiver, Vec<u8>), MpcError> {
        let choices = Bits::random(count, &mut self.random);
        let (mut t, message) = self.links[link].1.extend(&choices)?;
        Ok((CotReceiver::new(choices, std::mem::take(&mut *t))?, message))
    }

    /// Transfers to the other party at place `link`, on its message.
    pub(crate) fn send(&mut self, link: usize, count: usize, message: &[u8]) -> Result<CotSender, MpcError> {
        let sender = &mut self.links[link].0;
        let mut q = sender.extend(count, message)?;
        Ok(CotSender::new(Delta::new(sender.delta().expose())?, std::mem::take(&mut *q)))
    }

    /// Bytes of a message of [`Self::receive`].
    pub(crate) fn receive_bytes(&self, count: usize) -> usize {
        self.width.message_bytes(count)
    }
}

/// The session of transfers from `sender` to `receiver`.
fn link(session: &Session, sender: u8, receiver: u8) -> Session {
    session.child(&[sender, receiver])
}
