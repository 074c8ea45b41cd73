//! Where a replay's packets leave to, one pcap for each port; and what is told of their flows.

use std::io::{self, Write};
use std::time::Duration;

use pcap_file::pcap::{PcapHeader, PcapPacket, PcapWriter};
use pcap_file::{DataLink, Endianness, PcapError, TsResolution};
use thiserror::Error;
use weft_pipelines::flow::FlowRecord;
use weft_pipelines::sink::Decided;
use weft_pipelines::{Burst, Eyes, Frame, Handed, PortId, Sink, TestFrame, Tick, WorkerId};

use super::decisions::Decisions;
use super::recording::{LATEST, MAX_PACKET};
use crate::flows::names::Names;
use crate::report::FlowReport;
use crate::worker::record_of;

/// What a port sent.
#[derive(Debug)]
pub struct Output<W> {
    /// The port's name.
    pub port: String,
    /// Where its pcap was written to.
    pub writer: W,
}

/// An output can't be written.
#[derive(Debug, Error)]
pub enum OutputError {
    /// What a port sent.
    #[error("the output of port {port}: {source}")]
    Port {
        /// Which port's.
        port: String,
        /// Why not.
        source: io::Error,
    },
    /// What is told of flows.
    #[error("the records of flows: {0}")]
    Flows(io::Error),
}

/// What takes what is told of flows.
pub(super) struct Flows<'a> {
    pub(super) names: Names,
    pub(super) tell: &'a mut dyn FnMut(FlowReport) -> io::Result<()>,
}

/// A replay's sink.
pub(super) struct Outputs<'a, W: Write> {
    /// The virtual time that is written.
    pub(super) now: Tick,
    /// What policy decided, if that is wanted.
    pub(super) decisions: Option<Decisions>,
    eyes: Eyes<TestFrame>,
    /// Who is told of flows, if anybody.
    pub(super) flows: Option<Flows<'a>>,
    /// By port.
    pcaps: Vec<(String, PcapWriter<W>)>,
    /// The first that went wrong.
    failed: Option<OutputError>,
}

impl<W: Write> Outputs<'_, W> {
    /// A pcap for each of the ports `names`, where `open` says.
    pub(super) fn new(
        names: impl Iterator<Item = String>,
        mut open: impl FnMut(&str) -> io::Result<W>,
    ) -> Result<Self, OutputError> {
        let mut pcaps = Vec::new();
        for port in names {
            let started =
                open(&port).and_then(|writer| PcapWriter::with_header(writer, header()).map_err(why));
            match started {
                Ok(pcap) => pcaps.push((port, pcap)),
                Err(source) => return Err(OutputError::Port { port, source }),
            }
        }
        Ok(Self { now: Tick(0), decisions: None, flows: None, eyes: Eyes::default(), pcaps, failed: None })
    }

    /// What went wrong since the last time, if anything.
    pub(super) fn check(&mut self) -> Result<(), OutputError> {
        self.failed.take().map_or(Ok(()), Err)
    }

    /// Writes what is still buffered.
    pub(super) fn finish(mut self) -> Result<Vec<Output<W>>, OutputError> {
        self.check()?;
        let finish = |(port, pcap): (String, PcapWriter<W>)| {
            let mut writer = pcap.into_writer();
            match writer.flush() {
                Ok(()) => Ok(Output { port, writer }),
                Err(source) => Err(OutputError::Port { port, source }),
            }
        };
        self.pcaps.into_iter().map(finish).collect()
    }
}

/// The same on every machine.
fn header() -> PcapHeader {
    PcapHeader {
        snaplen: MAX_PACKET as u32,
        datalink: DataLink::ETHERNET,
        ts_resolution: TsResolution::NanoSecond,
        endianness: Endianness::Little,
        ..PcapHeader::default()
    }
}

fn why(error: PcapError) -> io::Error {
    match error {
        PcapError::IoError(error) => error,
        other => io::Error::other(other),
    }
}

impl<W: Write> Sink<TestFrame> for Outputs<'_, W> {
    fn send(&mut self, port: PortId, burst: &mut Burst<TestFrame>) {
        let Some((name, pcap)) = self.pcaps.get_mut(port.index()) else { return burst.clear() };
        let stamp = Duration::from_nanos(self.now.0.min(LATEST));
        for frame in burst.drain(..) {
            let data = frame.data();
            let written = pcap.write_packet(&PcapPacket::new(stamp, data.len() as u32, data));
            if let (Err(error), None) = (written, &self.failed) {
                self.failed = Some(OutputError::Port { port: name.clone(), source: why(error) });
            }
        }
    }

    fn hand_over(&mut self, worker: WorkerId, _: Handed<TestFrame>) {
        // The ledger would not balance.
        debug_assert!(false, "a replay has one worker, and no {worker:?}");
    }

    fn allocate(&mut self) -> Option<TestFrame> {
        Some(TestFrame::new(&[]))
    }

    fn eyes(&mut self) -> &mut Eyes<TestFrame> {
        &mut self.eyes
    }

    fn flow(&mut self, flow: &FlowRecord) {
        let Some(Flows { names, tell }) = &mut self.flows else { return };
        let worker = WorkerId(0);
        // A tick is a nanosecond of UNIX time.
        let report = names.report(worker.index(), &record_of(flow, worker), |tick| tick.0);
        if let (Err(error), None) = (tell(report), &self.failed) {
            self.failed = Some(OutputError::Flows(error));
        }
    }

    fn decided(&mut self, decided: &Decided, _: bool) {
        if let Some(decisions) = &mut self.decisions {
            decisions.add(decided);
        }
    }
}
