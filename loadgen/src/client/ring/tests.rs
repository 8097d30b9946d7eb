use std::io::Write;
use std::net::TcpListener;

use super::*;
use crate::client::socket::{self, Setup};

const SOCKETS: u32 = 200;
/// Of one socket: twenty buffers, so that the pool is used up by a few of them.
const BYTES: usize = 40_000;

#[test]
fn sockets_that_find_no_buffer_are_read_in_turn() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap();
    let mut ring = Ring::new(SOCKETS, &[target.into()], false, 0).unwrap();
    let tag = |kind, slot| Tag { kind, session: 0, slot };
    let mut harvest = Vec::new();
    let mut peers = Vec::new();
    for slot in 0..SOCKETS {
        let socket = socket::open(&Setup::default(), target, None).unwrap();
        ring.install(slot, &socket).unwrap();
        ring.connect(slot, 0, tag(Kind::Connect, slot));
        // The request lets the handshake end.
        let connected = |it: &Completion| it.tag == tag(Kind::Connect, slot) && it.result == 0;
        while !harvest.drain(..).any(|completion| connected(&completion)) {
            ring.wait(1_000_000, 0);
            ring.harvest(&mut harvest);
        }
        ring.send(slot, b"GET", tag(Kind::Send, slot));
        ring.submit();
        peers.push(listener.accept().unwrap().0);
    }
    // All of it is there before anybody reads.
    for peer in &mut peers {
        peer.write_all(&[7; BYTES]).unwrap();
    }
    for slot in 0..SOCKETS {
        ring.receive(slot, tag(Kind::Receive, slot));
    }
    let (mut left, mut asked_again) = (SOCKETS as usize * BYTES, 0);
    while left > 0 {
        ring.wait(1_000_000_000, 0);
        ring.harvest(&mut harvest);
        for completion in harvest.drain(..).filter(|it| it.tag.kind == Kind::Receive) {
            left -= ring.content(&completion).map_or(0, |content| content.bytes.len());
            if let Some(buffer) = completion.buffer {
                ring.recycle(buffer);
            }
            if completion.result == -libc::ENOBUFS {
                asked_again += 1;
                ring.receive_in_turn(completion.tag.slot, completion.tag);
            } else if !completion.more {
                ring.receive(completion.tag.slot, completion.tag);
            }
        }
    }
    // Asked for again all at once, each would have failed some thirty times.
    assert!((1..10 * SOCKETS).contains(&asked_again), "{asked_again} times");
}
