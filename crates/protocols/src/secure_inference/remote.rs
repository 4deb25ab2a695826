//! A remote server's script: it does what the gateway says, and checks that every inference is prepared once and used once.

use std::collections::VecDeque;

use cloven_wire::{Channel, DecodeError, Link, Message};
use rand::CryptoRng;
use zeroize::Zeroizing;

use super::{
    Server, Terms,
    boxes::{open_input, seal_share, share_len},
    mesh::Mesh,
    msg::{Command, SealedShare},
    preparation::Prepared,
    seal::{BoxKey, KEY},
    words,
    worker::Worker,
};
use crate::{Event, Observe, ProtocolError};

/// Serves until the gateway ends the service. `links` are to the other servers.
///
/// # Errors
/// [`ProtocolError`], naming the server whose message cannot be or that is lost. Nothing that was prepared is used after that.
pub async fn remote<C: Channel>(
    me: Server<'_>,
    terms: &Terms,
    links: &mut [Link<C>],
    observe: &mut Observe<'_>,
) -> Result<(), ProtocolError> {
    let mut mesh = Mesh::new(&me.identity.party, terms, links)?;
    let result = serve(me, terms, &mut mesh, observe).await;
    let layers = mesh.layers();
    let told = observe(Event::Layers { layers });
    result.and(told.map_err(ProtocolError::from))
}

async fn serve<C: Channel>(
    me: Server<'_>,
    terms: &Terms,
    mesh: &mut Mesh<'_, C>,
    observe: &mut Observe<'_>,
) -> Result<(), ProtocolError> {
    let mut worker = Worker::set_up(&me, terms, mesh, 0).await?;
    // Since the last meeting, and inferences before it.
    let (mut next, mut oldest, mut earlier, mut meetings) = (0, 0, 0, 1);
    let mut prepared: VecDeque<Prepared> = VecDeque::new();
    let mut rng = worker.box_randomness();
    let key = BoxKey::generate(&mut rng);
    mesh.send_key(key.signed(terms.job, me.identity)?).await?;
    let traffic = mesh.traffic();
    observe(Event::Met { traffic })?;
    loop {
        let command = mesh.next_command((next, oldest)).await?;
        let traffic = mesh.traffic();
        observe(Event::Working { traffic })?;
        match command {
            Command::Prepare(number) if number >= worker.most => return Err(too_many(mesh, worker.most)),
            Command::Prepare(number) => {
                prepared.push_back(worker.prepare(mesh, number).await?);
                next += 1;
                let (ready, wanted, traffic) = (prepared.len(), 0, mesh.traffic());
                observe(Event::Prepared { ready, wanted, traffic })?;
            }
            Command::Infer(_, sealed) => {
                let Some(used) = prepared.pop_front() else { continue };
                oldest += 1;
                let input = Input::open((terms, worker.plan.opened[0]), &key, &me, &sealed, &mut rng);
                let share = worker.infer(mesh, used, &input.share).await?;
                mesh.answer::<SealedShare>(input.seal(terms, &me, &share, &mut rng)).await?;
                mesh.enter(None);
                let (inferences, traffic) = (earlier + oldest, mesh.traffic());
                observe(Event::Answered { inferences, traffic })?;
            }
            Command::Meet => {
                prepared.clear();
                drop(worker);
                worker = Worker::set_up(&me, terms, mesh, meetings).await?;
                (earlier, meetings) = (earlier + oldest, meetings + 1);
                (next, oldest) = (0, 0);
                let traffic = mesh.traffic();
                observe(Event::Met { traffic })?;
            }
            Command::Wait => {}
            Command::End => return Ok(()),
        }
    }
}

/// The error of a gateway that would have a key serve for more than it may.
fn too_many<C: Channel>(mesh: &Mesh<'_, C>, most: u64) -> ProtocolError {
    let cause = DecodeError::Field {
        field: "command",
        expected: format!("a meeting after {most} inferences, as many as one key serves for"),
        got: "another inference to prepare".into(),
    };
    mesh.malformed(0, Command::NAME, cause)
}

/// A user's input, as far as this server has it.
struct Input {
    share: Zeroizing<Vec<u64>>,
    /// None when the user sent something else than a box for this server: it gets noise, and the service goes on for the others.
    user: Option<[u8; KEY]>,
}

impl Input {
    fn open((terms, words): (&Terms, usize), key: &BoxKey, me: &Server<'_>, sealed: &[u8], rng: &mut impl CryptoRng) -> Self {
        match open_input((terms, words), key, &me.identity.party, sealed) {
            Ok((share, user)) => Self { share, user: Some(user) },
            Err(_) => {
                let mut seed = Zeroizing::new([0; 32]);
                rng.fill_bytes(&mut *seed);
                let share = words::expand(&seed, words, terms.ring_bits);
                Self { share, user: None }
            }
        }
    }

    fn seal(&self, terms: &Terms, me: &Server<'_>, share: &[u64], rng: &mut impl CryptoRng) -> Vec<u8> {
        let sealed = self
            .user
            .and_then(|user| seal_share(terms, &me.identity.party, &user, share, rng).ok());
        sealed.unwrap_or_else(|| {
            let mut noise = vec![0; share_len(terms)];
            rng.fill_bytes(&mut noise);
            noise
        })
    }
}
