//! The receive buffers of a ring, shared by all of its sockets.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;

/// Receive buffers of a ring. One wait harvests at most `HARVEST_MAX` completions, each with
/// one buffer, so the pool cannot run dry but by events of several buffers each. The kernel takes
/// them in turn, so all of them together should fit in a processor's second-level cache.
pub(super) const BUFFERS: u16 = 128;

/// Bytes of a receive buffer, where events are small: one of common size with its framing, several
/// smaller ones. Many subscribers take many rings where the limit on descriptors is low, and each
/// ring has buffers of its own: 256 KiB for 20,000 sockets are 13 bytes each.
const BUFFER_BYTES_MIN: usize = 2_048;

/// Bytes of a receive buffer, where events are large. Larger ones come in several pieces.
const BUFFER_BYTES_MAX: usize = 32 * 1_024;

/// What stands around an event's data in a buffer: fields, chunk, the header of a stamped receive.
const AROUND_BYTES: usize = 512;

/// The pool of receive buffers: the ring of descriptions that the kernel reads, and the memory.
#[derive(Debug)]
pub(super) struct Buffers {
    entries: *mut BufRingEntry,
    memory: Box<[u8]>,
    /// Bytes of one buffer.
    bytes: usize,
    tail: u16,
}

impl Buffers {
    const LAYOUT: Layout = {
        match Layout::from_size_align(BUFFERS as usize * size_of::<BufRingEntry>(), 4_096) {
            Ok(layout) => layout,
            Err(_) => panic!("a page-aligned layout"),
        }
    };

    /// Buffers for events of up to `event_bytes`.
    pub(super) fn new(event_bytes: usize) -> Buffers {
        let bytes = (event_bytes + AROUND_BYTES).next_multiple_of(BUFFER_BYTES_MIN);
        let bytes = bytes.min(BUFFER_BYTES_MAX);
        // SAFETY: the layout is not empty.
        let entries = unsafe { alloc_zeroed(Self::LAYOUT) };
        if entries.is_null() {
            handle_alloc_error(Self::LAYOUT);
        }
        let mut buffers = Buffers {
            entries: entries.cast(),
            memory: vec![0; BUFFERS as usize * bytes].into_boxed_slice(),
            bytes,
            tail: 0,
        };
        for buffer in 0..BUFFERS {
            buffers.give(buffer);
        }
        buffers
    }

    /// Where the descriptions are, for the kernel.
    pub(super) fn address(&self) -> u64 {
        self.entries as u64
    }

    /// A buffer's memory.
    ///
    /// # Panics
    ///
    /// If the kernel names a buffer that does not exist.
    pub(super) fn buffer(&self, buffer: u16) -> &[u8] {
        &self.memory[usize::from(buffer) * self.bytes..][..self.bytes]
    }

    /// Bytes of one buffer.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Gives a buffer to the kernel.
    pub(super) fn give(&mut self, buffer: u16) {
        let start = self.memory[usize::from(buffer) * self.bytes..].as_mut_ptr();
        let place = usize::from(self.tail % BUFFERS);
        // SAFETY: `place` is below BUFFERS, the number of entries allocated; the kernel reads an
        // entry only below the tail, and this one is above it until the store below. The tail is
        // a u16 inside the first entry that both sides use as an atomic; its Release store pairs
        // with the kernel's acquire load, so the entry is whole before it is seen.
        unsafe {
            let entry = &mut *self.entries.add(place);
            entry.set_addr(start as u64);
            entry.set_len(self.bytes as u32);
            entry.set_bid(buffer);
            self.tail = self.tail.wrapping_add(1);
            let tail = BufRingEntry::tail(self.entries).cast_mut();
            AtomicU16::from_ptr(tail).store(self.tail, Ordering::Release);
        }
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout, and freed only here.
        unsafe { dealloc(self.entries.cast(), Self::LAYOUT) };
    }
}
