//! Several recordings as one: by time, and of equal times in the order in which the inputs were given.

use std::io::Read;

use weft_pipelines::PortId;

use super::recording::{Recording, RecordingError, Source};

/// What an input came to.
#[derive(Debug)]
pub struct InputSummary {
    /// The port that received it.
    pub port: String,
    /// What the recording is called.
    pub recording: String,
    /// Packets replayed.
    pub packets: u64,
    /// Those of which the recording kept only the start.
    pub snapped: u64,
    /// Those with a stamp before that of the packet before them, in whose time they are replayed.
    pub back_in_time: u64,
    /// Why the recording was not replayed to its end. What stood before that place was.
    pub trouble: Option<RecordingError>,
}

/// The inputs, merged.
pub(super) struct Merged {
    streams: Vec<Stream>,
}

/// A packet in the order of the merge.
pub(super) struct Arrival {
    pub(super) port: PortId,
    /// Not before that of any earlier arrival.
    pub(super) stamp: u64,
    pub(super) data: Vec<u8>,
}

impl Merged {
    pub(super) fn new(streams: Vec<Stream>) -> Self {
        Self { streams }
    }

    /// When the next packet arrives.
    pub(super) fn next_stamp(&self) -> Option<u64> {
        self.streams.iter().filter_map(|stream| stream.next.as_ref()).map(|(stamp, _)| *stamp).min()
    }

    pub(super) fn summaries(self) -> Vec<InputSummary> {
        self.streams.into_iter().map(|stream| stream.summary).collect()
    }
}

impl Iterator for Merged {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        // Of equal stamps min_by_key takes the first.
        let waiting = self.streams.iter_mut().filter(|stream| stream.next.is_some());
        waiting.min_by_key(|stream| stream.next.as_ref().map(|(stamp, _)| *stamp))?.take()
    }
}

/// One input, a packet ahead.
pub(super) struct Stream {
    port: PortId,
    recording: Recording<Box<dyn Read>>,
    next: Option<(u64, Vec<u8>)>,
    /// The latest stamp read, which no later one goes behind.
    latest: u64,
    summary: InputSummary,
}

impl Stream {
    /// The recording at `source`, received by `port`, which is called `name`.
    ///
    /// # Errors
    ///
    /// When it can't be opened, or is not a recording of an Ethernet. What is wrong further on is trouble of the
    /// summary.
    pub(super) fn open(port: PortId, name: &str, source: &Source) -> Result<Self, RecordingError> {
        let summary = InputSummary {
            port: name.to_owned(),
            recording: source.name(),
            packets: 0,
            snapped: 0,
            back_in_time: 0,
            trouble: None,
        };
        let recording = source.open()?;
        let mut stream = Self { port, recording, next: None, latest: 0, summary };
        stream.advance();
        // In pcapng the link type may come only with the first packet.
        match stream.summary.trouble {
            Some(wrong @ RecordingError::LinkType(_)) => Err(wrong),
            _ => Ok(stream),
        }
    }

    fn take(&mut self) -> Option<Arrival> {
        let (stamp, data) = self.next.take()?;
        self.summary.packets += 1;
        self.advance();
        Some(Arrival { port: self.port, stamp, data })
    }

    fn advance(&mut self) {
        if self.summary.trouble.is_some() {
            return;
        }
        match self.recording.next_packet() {
            Ok(Some(packet)) => {
                let stamp = packet.stamp.unwrap_or(self.latest);
                self.summary.back_in_time += u64::from(stamp < self.latest);
                self.summary.snapped += u64::from(packet.is_snapped);
                self.latest = self.latest.max(stamp);
                self.next = Some((self.latest, packet.data));
            }
            Ok(None) => {}
            Err(trouble) => self.summary.trouble = Some(trouble),
        }
    }
}
