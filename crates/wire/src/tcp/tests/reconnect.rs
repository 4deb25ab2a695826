//! Several peers at once, and peers that are lost and come back.

use std::cell::RefCell;

use tokio::sync::Notify;

use super::*;

/// Parties that pin each other; the first listens, the others dial it.
struct Meeting {
    sides: Vec<Side>,
    listener: Option<TcpListener>,
    address: String,
}

impl Meeting {
    async fn of(names: &[&str]) -> Self {
        let identities: Vec<_> = names.iter().map(|name| identity(name)).collect();
        let pins: Vec<_> = identities.iter().map(|i| (i.party.clone(), i.certificate.clone())).collect();
        let side = |identity: Identity| {
            let mut roster = Roster::default();
            pins.iter()
                .filter(|(name, _)| *name != identity.party)
                .for_each(|(name, pin)| drop(roster.pin(name.clone(), pin.clone())));
            Side {
                identity,
                roster,
                job: [7; 32],
            }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        Self {
            sides: identities.into_iter().map(side).collect(),
            listener: Some(listener),
            address,
        }
    }

    fn endpoints(&mut self) -> (Endpoint<'_>, Vec<Endpoint<'_>>, Reach) {
        let (server, clients) = self.sides.split_first().unwrap();
        let endpoint = |side, listener| Endpoint {
            connect_deadline: Duration::from_secs(20),
            message_deadline: Duration::from_secs(20),
            ..endpoint(side, listener)
        };
        (
            endpoint(server, self.listener.take()),
            clients.iter().map(|side| endpoint(side, None)).collect(),
            Reach::Dial(self.address.clone()),
        )
    }
}

fn awaited(names: &[&str]) -> BTreeMap<Party, Reach> {
    names.iter().map(|name| (party(name), Reach::Accept)).collect()
}

fn dialled(dial: &Reach) -> BTreeMap<Party, Reach> {
    BTreeMap::from([(party("cloud"), dial.clone())])
}

fn only(channels: BTreeMap<Party, TcpChannel>) -> Link<TcpChannel> {
    Link::new(channels.into_values().next().unwrap())
}

/// A byte there and back.
async fn talk(a: &mut Link<TcpChannel>, b: &mut Link<TcpChannel>, round: u64) {
    let there = async {
        a.send(round, &Blob(vec![1])).await?;
        a.receive::<Blob>(round, &1).await
    };
    let back = async {
        let blob = b.receive::<Blob>(round, &1).await?;
        b.send(round, &blob).await
    };
    let (got, sent) = tokio::join!(there, back);
    sent.unwrap();
    assert_eq!(got.unwrap(), Blob(vec![1]));
}

#[tokio::test]
async fn the_same_endpoints_connect_again_after_one_drops() {
    for listener_is_lost in [false, true] {
        let mut meeting = Meeting::of(&["cloud", "hospital"]).await;
        let (cloud, hospitals, dial) = meeting.endpoints();
        let hospital = &hospitals[0];
        let (to_cloud, from_hospital) = (dialled(&dial), awaited(&["hospital"]));
        let (a, b) = tokio::join!(hospital.connect(&to_cloud, &|_| ()), cloud.connect(&from_hospital, &|_| ()));
        let (a, b) = (only(a.unwrap()), only(b.unwrap()));
        // No farewell: the socket is closed as by a process that dies.
        let mut witness = if listener_is_lost {
            drop(b);
            a
        } else {
            drop(a);
            b
        };
        let error = witness.receive::<Blob>(1, &1).await.unwrap_err();
        assert!(matches!(error, WireError::Closed { .. }), "{error}");
        drop(witness);

        let seen = RefCell::new(Vec::new());
        let note = |notice| seen.borrow_mut().push(notice);
        let deadline = Duration::from_secs(20);
        let (cloud_name, hospital_name) = (party("cloud"), party("hospital"));
        let (a, b) = tokio::join!(
            hospital.reconnect(&cloud_name, &dial, deadline, &|_| ()),
            cloud.reconnect(&hospital_name, &Reach::Accept, deadline, &note)
        );
        talk(&mut Link::new(a.unwrap()), &mut Link::new(b.unwrap()), 2).await;
        let address = match &dial {
            Reach::Dial(address) => address.clone(),
            Reach::Accept => unreachable!(),
        };
        let waiting = Notice::Waiting {
            party: party("hospital"),
            address,
        };
        assert_eq!(seen.borrow()[0], waiting);
    }
}

#[tokio::test]
async fn a_lost_peer_is_awaited_no_longer_than_the_deadline() {
    let mut meeting = Meeting::of(&["cloud", "hospital"]).await;
    let (cloud, hospitals, dial) = meeting.endpoints();
    let deadline = Duration::from_millis(300);
    let error = cloud
        .reconnect(&party("hospital"), &Reach::Accept, deadline, &|_| ())
        .await
        .err()
        .unwrap();
    assert!(
        matches!(error, WireError::Absent { waited, .. } if waited == deadline),
        "{error}"
    );
    drop(cloud);
    let error = hospitals[0]
        .reconnect(&party("cloud"), &dial, deadline, &|_| ())
        .await
        .err()
        .unwrap();
    assert!(
        matches!(error, WireError::Unreachable { waited, .. } if waited == deadline),
        "{error}"
    );
}

#[tokio::test]
async fn three_clients_are_accepted_at_once_and_one_that_returns_leaves_the_others_alone() {
    let names = ["bank-a", "bank-b", "bank-c"];
    let mut meeting = Meeting::of(&["cloud", "bank-a", "bank-b", "bank-c"]).await;
    let (cloud, clients, dial) = meeting.endpoints();
    let (to_cloud, all) = (dialled(&dial), awaited(&names));
    let (a, b, c, at_cloud) = tokio::join!(
        clients[0].connect(&to_cloud, &|_| ()),
        clients[1].connect(&to_cloud, &|_| ()),
        clients[2].connect(&to_cloud, &|_| ()),
        cloud.connect(&all, &|_| ()),
    );
    let mut at_clients = [a, b, c].map(|channels| only(channels.unwrap()));
    let mut at_cloud: Vec<_> = at_cloud.unwrap().into_values().map(Link::new).collect();
    for (client, server) in at_clients.iter_mut().zip(&mut at_cloud) {
        talk(client, server, 1).await;
    }

    // Bank B is lost. While it is awaited, somebody with bank A's key dials too, and is turned away.
    let [mut a, b, mut c] = at_clients;
    drop(b);
    drop(at_cloud.remove(1));
    let seen = RefCell::new(Vec::new());
    let turned_away = |notice: &Notice| matches!(notice, Notice::TurnedAway { why, .. } if why.contains("bank-a is not awaited"));
    let refused = Notify::new();
    let note = |notice| {
        if turned_away(&notice) {
            refused.notify_one();
        }
        seen.borrow_mut().push(notice);
    };
    let long = Duration::from_secs(20);
    let (cloud_name, bank_b) = (party("cloud"), party("bank-b"));
    let (again, b, at_cloud_b) = tokio::join!(
        clients[0].reconnect(&cloud_name, &dial, Duration::from_secs(2), &|_| ()),
        async {
            refused.notified().await;
            clients[1].reconnect(&cloud_name, &dial, long, &|_| ()).await
        },
        cloud.reconnect(&bank_b, &Reach::Accept, long, &note),
    );
    assert!(matches!(again.err().unwrap(), WireError::Unreachable { .. }));
    assert!(seen.borrow().iter().any(turned_away), "{seen:?}");
    talk(&mut Link::new(b.unwrap()), &mut Link::new(at_cloud_b.unwrap()), 2).await;
    talk(&mut a, &mut at_cloud[0], 2).await;
    talk(&mut c, &mut at_cloud[1], 2).await;
}

#[tokio::test]
async fn a_party_that_restarts_while_others_are_awaited_is_served_on_its_newest_connection() {
    let mut meeting = Meeting::of(&["cloud", "bank-a", "bank-b"]).await;
    let (cloud, clients, dial) = meeting.endpoints();
    let (to_cloud, both) = (dialled(&dial), awaited(&["bank-a", "bank-b"]));
    let late = async {
        let first = clients[0].connect(&to_cloud, &|_| ()).await.unwrap();
        drop(first);
        let second = clients[0].connect(&to_cloud, &|_| ()).await.unwrap();
        (second, clients[1].connect(&to_cloud, &|_| ()).await.unwrap())
    };
    let ((a, b), at_cloud) = tokio::join!(late, cloud.connect(&both, &|_| ()));
    let mut at_cloud: Vec<_> = at_cloud.unwrap().into_values().map(Link::new).collect();
    talk(&mut only(a), &mut at_cloud[0], 1).await;
    talk(&mut only(b), &mut at_cloud[1], 1).await;
}
