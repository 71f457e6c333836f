//! What clients share, and how much of it one of them may hold.
//!
//! A client is a [`Peer`]: an address, or an API key where there are keys. Of each [`Resource`] all of
//! them together hold at most its limit, and once half of that is taken no peer holds more than its
//! share (`server.max_peer_share`), so that none can refuse all others. A lone peer gets its whole share.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use axum::http::Extensions;

use super::link::Link;
use super::resource::{Full, Limit, RESOURCES, Resource};
use super::spare::Spares;
use super::upload::Upload;
use crate::config::Server;

/// Who has sent nothing, or read nothing, for this long goes before others are refused.
pub const SILENT: Duration = Duration::from_secs(1);

/// What the clients of one port share.
pub struct Bounds {
    limits: [Limit; RESOURCES],
    /// Bytes of answers that one connection may leave unread.
    pub unread: usize,
    known: Mutex<Known>,
    /// Bodies that are waited for.
    pub(super) uploads: Mutex<HashMap<usize, Weak<Upload>>>,
    pub(super) links: Mutex<HashMap<usize, Weak<Link>>>,
    spare: Spares,
    epoch: Instant,
}

#[derive(Default)]
struct Known {
    peers: HashMap<Identity, Weak<Holder>>,
    /// When this many are known, those that are gone are forgotten.
    sweep_at: usize,
}

/// Who a client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Identity {
    V4(Ipv4Addr),
    /// The network of an IPv6 address: a client has all addresses of its /64.
    V6(u64),
    /// SHA-256 of a key.
    Key([u8; 32]),
}

impl From<IpAddr> for Identity {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => {
                let network = address.to_bits() >> 64;
                Self::V6(network as u64)
            }
        }
    }
}

impl Bounds {
    /// Those of the data port.
    #[must_use]
    pub fn new(server: &Server) -> Arc<Self> {
        let share = server.max_peer_share;
        let limits = [
            Limit::new(server.max_connections.get(), share, 1),
            Limit::new(server.max_open_requests.get(), share, 1),
            Limit::new(server.max_concurrent_requests.get(), share, 1),
            // However small the share, one body of the largest size goes.
            Limit::new(server.max_bodies_size, share, server.max_body_size),
            Limit::new(server.max_answers_size, share, 1),
        ];
        Self::of(limits, server.max_unread_size)
    }

    /// For a port that has a bound on its connections alone.
    #[must_use]
    pub fn connections_only(most: usize) -> Arc<Self> {
        let free = || Limit::new(usize::MAX >> 1, 1.0, 1);
        let limits = [Limit::new(most, 1.0, 1), free(), free(), free(), free()];
        Self::of(limits, usize::MAX >> 8)
    }

    fn of(limits: [Limit; RESOURCES], unread: usize) -> Arc<Self> {
        Arc::new(Self {
            limits,
            unread,
            known: Mutex::default(),
            uploads: Mutex::default(),
            links: Mutex::default(),
            spare: Spares::default(),
            epoch: Instant::now(),
        })
    }

    pub fn peer(self: &Arc<Self>, who: impl Into<Identity>) -> Peer {
        let mut known = lock(&self.known);
        let who = who.into();
        if let Some(holder) = known.peers.get(&who).and_then(Weak::upgrade) {
            return Peer(holder);
        }
        if known.peers.len() >= known.sweep_at {
            known.peers.retain(|_, holder| holder.strong_count() > 0);
            known.sweep_at = (2 * known.peers.len()).max(1024);
        }
        let (used, spare) = Default::default();
        // Nobody from outside can choose which two are taken for one.
        let id = known.peers.hasher().hash_one(who);
        let holder = Arc::new(Holder { id, bounds: self.clone(), used, spare });
        known.peers.insert(who, Arc::downgrade(&holder));
        Peer(holder)
    }

    /// How much of it is taken.
    #[must_use]
    pub fn used(&self, what: Resource) -> usize {
        self.limits[what as usize].used.load(Ordering::Relaxed)
    }

    /// Milliseconds; only differences mean something.
    pub(super) fn now(&self) -> u64 {
        self.at(Instant::now())
    }

    pub(super) fn at(&self, moment: Instant) -> u64 {
        moment.duration_since(self.epoch).as_millis() as u64
    }

    pub(super) fn instant(&self, milliseconds: u64) -> Instant {
        self.epoch + Duration::from_millis(milliseconds)
    }

    fn give_back(&self, what: Resource, amount: usize) {
        let limit = &self.limits[what as usize];
        // In one order with those of who waits: it sees this, or is seen here.
        limit.used.fetch_sub(amount, Ordering::SeqCst);
        if limit.waiting.load(Ordering::SeqCst) > 0 {
            limit.freed.notify_waiters();
        }
    }
}

/// Locks what is whole after every change.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A client, however many connections and requests it has.
#[derive(Clone)]
pub struct Peer(Arc<Holder>);

struct Holder {
    id: u64,
    bounds: Arc<Bounds>,
    used: [AtomicUsize; RESOURCES],
    spare: Spares,
}

impl Peer {
    /// The one that a request is of, if its port has bounds: its key, else the connection's address.
    pub fn of(extensions: &Extensions) -> Option<Self> {
        let link = || extensions.get::<Arc<Link>>().map(|link| link.peer.clone());
        extensions.get().cloned().or_else(link)
    }

    #[must_use]
    pub fn bounds(&self) -> &Arc<Bounds> {
        &self.0.bounds
    }

    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Those that may go for this peer, which finds no more of something.
    pub(super) fn spare(&self, full: Full) -> &Spares {
        match full {
            Full::All => &self.0.bounds.spare,
            Full::Share => &self.0.spare,
        }
    }

    /// How much of it this peer holds.
    #[must_use]
    pub fn used(&self, what: Resource) -> usize {
        self.0.used[what as usize].load(Ordering::Relaxed)
    }

    /// The same for all connections and requests of this client, whenever they come.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// # Errors
    /// There is not so much of it, or not for this peer.
    pub fn take(&self, what: Resource, amount: usize) -> Result<Taken, Full> {
        if let Some(full) = self.lacks(what, amount) {
            return Err(full);
        }
        let limit = &self.0.bounds.limits[what as usize];
        // Never more, not even for a moment: another may look just then, and wait in vain.
        let fits = |used: usize| used.checked_add(amount).filter(|used| *used <= limit.most);
        let taken = limit.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits);
        taken.map_err(|_| Full::All)?;
        self.0.used[what as usize].fetch_add(amount, Ordering::AcqRel);
        Ok(Taken { peer: self.clone(), what, amount })
    }

    /// Why [`Self::take`] would find no more, were it asked now.
    #[must_use]
    pub fn lacks(&self, what: Resource, amount: usize) -> Option<Full> {
        let limit = &self.0.bounds.limits[what as usize];
        let total = limit.used.load(Ordering::SeqCst).saturating_add(amount);
        let own = self.used(what);
        // What is one's first is no share of anything.
        let over_share = own > 0
            && own.saturating_add(amount) > limit.of_peer
            && limit.of_peer < limit.most
            && total > limit.most / 2;
        match (over_share, total > limit.most) {
            (true, _) => Some(Full::Share),
            (false, true) => Some(Full::All),
            (false, false) => None,
        }
    }

    /// Waits until there is so much of it for this peer.
    pub async fn wait_for(&self, what: Resource, amount: usize) -> Taken {
        if let Ok(taken) = self.take(what, amount) {
            return taken;
        }
        let limit = &self.0.bounds.limits[what as usize];
        let _waits = Waits::new(&limit.waiting);
        loop {
            let mut freed = pin!(limit.freed.notified());
            freed.as_mut().enable();
            if let Ok(taken) = self.take(what, amount) {
                return taken;
            }
            freed.await;
        }
    }

    /// Whether one amount could not be more even if nobody had any of it.
    pub(super) fn never_has(&self, what: Resource, amount: usize) -> Option<usize> {
        let most = self.0.bounds.limits[what as usize].most;
        (amount > most).then_some(most)
    }
}

struct Waits<'a>(&'a AtomicUsize);

impl<'a> Waits<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A part of a resource, given back when dropped.
pub struct Taken {
    peer: Peer,
    what: Resource,
    amount: usize,
}

impl Taken {
    #[must_use]
    pub fn amount(&self) -> usize {
        self.amount
    }

    /// Takes over what `other` has, which is of the same peer and resource.
    pub fn join(&mut self, mut other: Self) {
        debug_assert!(self.what == other.what && self.peer.is(&other.peer));
        self.amount += std::mem::take(&mut other.amount);
    }

    /// A part of it, at most all.
    #[must_use]
    pub fn split(&mut self, amount: usize) -> Self {
        let amount = amount.min(self.amount);
        self.amount -= amount;
        Self { peer: self.peer.clone(), what: self.what, amount }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if self.amount > 0 {
            let Holder { bounds, used, .. } = &*self.peer.0;
            used[self.what as usize].fetch_sub(self.amount, Ordering::AcqRel);
            bounds.give_back(self.what, self.amount);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Flags, ServerConfig};

    fn bounds(share: f64) -> Arc<Bounds> {
        let mut server = ServerConfig::load(None, &Flags::default()).unwrap().server;
        server.max_concurrent_requests = 8.try_into().unwrap();
        (server.max_body_size, server.max_bodies_size) = (300, 400);
        server.max_peer_share = share;
        Bounds::new(&server)
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn places(peer: &Peer, most: usize) -> Vec<Taken> {
        (0..most).map_while(|_| peer.take(Resource::Places, 1).ok()).collect()
    }

    #[test]
    fn a_peer_is_an_ipv4_address_or_an_ipv6_network() {
        let bounds = bounds(0.5);
        let peer = |text| bounds.peer(address(text));
        let first = peer("10.0.0.1");
        assert!(first.is(&peer("10.0.0.1")) && first.is(&peer("::ffff:10.0.0.1")));
        assert!(!first.is(&peer("10.0.0.2")));
        let network = peer("2001:db8:0:1::1");
        assert!(network.is(&peer("2001:db8:0:1:ffff::2")) && !network.is(&peer("2001:db8:0:2::1")));
        assert!(!network.is(&bounds.peer(Identity::Key([0; 32]))));
    }

    #[test]
    fn nobody_takes_what_is_left_for_others_and_a_lone_peer_gets_its_share() {
        let bounds = bounds(0.5);
        let [greedy, good, late] = ["10.0.0.1", "10.0.0.2", "10.0.0.3"].map(address);
        let [greedy, good, late] = [greedy, good, late].map(|address| bounds.peer(address));
        let held = places(&greedy, 100);
        assert_eq!((held.len(), greedy.take(Resource::Places, 1).err()), (4, Some(Full::Share)));
        let others = places(&good, 3);
        assert_eq!((others.len(), late.take(Resource::Places, 1).is_ok()), (3, true));
        drop(held);
        assert_eq!(places(&late, 100).len(), 4);
        drop(others);
        assert_eq!((bounds.used(Resource::Places), good.used(Resource::Places)), (0, 0));
        let small = self::bounds(0.1);
        let lone = small.peer(address("10.0.0.1"));
        assert_eq!(places(&lone, 100).len(), 4, "half of it is not scarce");
    }

    #[test]
    fn with_a_share_of_one_a_balancer_may_have_all_of_it() {
        let peer = bounds(1.0).peer(address("10.0.0.1"));
        assert_eq!(places(&peer, 100).len(), 8);
    }

    #[test]
    fn a_body_of_the_largest_size_goes_whatever_the_share() {
        let bounds = bounds(0.1);
        let peer = bounds.peer(address("10.0.0.1"));
        let mut room = peer.take(Resource::Bodies, 100).unwrap();
        room.join(peer.take(Resource::Bodies, 200).unwrap());
        assert_eq!(peer.take(Resource::Bodies, 1).err(), Some(Full::Share));
        drop(room.split(250));
        assert_eq!((room.amount(), bounds.used(Resource::Bodies)), (50, 50));
    }
}
