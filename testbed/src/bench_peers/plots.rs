//! The figures as pictures: bars in groups, a bar for each system.

use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::grid::{Load, Setup};
use super::results::{Key, Median, Results};
use super::systems::System;
use crate::load::Size;
use crate::{Error, Result};

/// A picture.
struct Picture {
    file: &'static str,
    title: &'static str,
    unit: &'static str,
    /// Which rows are in it, and what each is called.
    label: fn(&Setup, Load) -> Option<String>,
    value: fn(&Median) -> f64,
}

const PICTURES: [Picture; 4] = [
    Picture {
        file: "peers-throughput.svg",
        title: "Packets of 64 bytes, 1,000 flows, one core",
        unit: "million packets a second",
        label: |setup, load| {
            let plain = load == Load::Flood { flows: 1_000, size: Size::Fixed(64) } && setup.rules <= 10;
            plain.then(|| setup.name())
        },
        value: |median| median.pps / 1e6,
    },
    Picture {
        file: "peers-flows.svg",
        title: "What flows and rules cost: 64 bytes, stateful",
        unit: "cycles a packet",
        label: |setup, load| match load {
            Load::Flood { flows, size: Size::Fixed(64) }
                if setup.work.is_stateful() && !setup.work.has_uplink() =>
            {
                Some(format!(
                    "{} flows, {} rules{}",
                    short(flows),
                    short(setup.rules),
                    if setup.is_tcp() { ", TCP" } else { "" }
                ))
            }
            _ => None,
        },
        value: |median| median.cycles,
    },
    Picture {
        file: "peers-fabric.svg",
        title: "Into VXLAN and out of it: 64 bytes, stateful",
        unit: "cycles a packet",
        label: |setup, load| match load {
            Load::Flood { flows, size: Size::Fixed(64) } if setup.work.has_uplink() => {
                let way = if setup.work == super::grid::Work::Decap { "decap" } else { "encap" };
                let metered = if setup.meters { ", all on" } else { "" };
                Some(format!("{way}, {}{metered}", short(flows)))
            }
            _ => None,
        },
        value: |median| median.cycles,
    },
    Picture {
        file: "peers-sizes.svg",
        title: "By frame: 1,000 flows",
        unit: "Gbit/s",
        label: |setup, load| match load {
            Load::Flood { flows: 1_000, size }
                if !setup.work.has_uplink() && setup.rules <= 10 && !setup.is_tcp() =>
            {
                Some(format!("{}, {size}", setup.work.name()))
            }
            _ => None,
        },
        value: |median| median.bps / 1e9,
    },
];

/// Bars of one group: each system's, where it has one.
type Group = (String, Vec<(System, f64)>);

/// Draws all pictures for which there are figures.
pub fn draw(results: &Results, out: &Path) -> Result<()> {
    let systems: Vec<System> =
        results.systems.iter().filter(|(_, state)| state.is_ok()).map(|(system, _)| *system).collect();
    for picture in &PICTURES {
        let group = |(setup, load, number, load_number): (&Setup, Load, usize, usize)| -> Option<Group> {
            let label = (picture.label)(setup, load)?;
            let median = |system| results.median(Key { setup: number, load: load_number, system });
            let bars: Vec<_> = systems
                .iter()
                .filter_map(|system| Some((*system, (picture.value)(&median(*system)?))))
                .collect();
            (!bars.is_empty()).then_some((label, bars))
        };
        let groups: Vec<Group> = results.rows().filter_map(group).collect();
        if !groups.is_empty() {
            let path = out.join(picture.file);
            picture
                .draw(&path, &groups, &systems)
                .map_err(|error| Error::failed(format!("drawing {}: {error}", path.display()), ""))?;
        }
    }
    Ok(())
}

impl Picture {
    fn draw(
        &self,
        path: &Path,
        groups: &[Group],
        systems: &[System],
    ) -> Result<(), Box<dyn std::error::Error>> {
        let width = (220 + 130 * groups.len() as u32).max(640);
        let area = SVGBackend::new(path, (width, 420)).into_drawing_area();
        area.fill(&WHITE)?;
        let most = groups.iter().flat_map(|(_, bars)| bars).map(|(_, value)| *value).fold(0.0, f64::max);
        let mut chart = ChartBuilder::on(&area)
            .caption(self.title, ("sans-serif", 20))
            .margin(14)
            .x_label_area_size(30)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..groups.len() as f64, 0.0..(most * 1.25).max(f64::MIN_POSITIVE))?;
        chart.configure_mesh().disable_x_mesh().disable_x_axis().y_desc(self.unit).draw()?;
        // A quarter of each group's room stays empty.
        let bar = 0.75 / systems.len() as f64;
        let small = ("sans-serif", 12).into_font().into_text_style(&area);
        let above = small.pos(Pos::new(HPos::Center, VPos::Bottom));
        let below = small.pos(Pos::new(HPos::Center, VPos::Top));
        for (place, system) in systems.iter().enumerate() {
            let color = color(*system);
            let left = |group: usize| group as f64 + 0.125 + bar * place as f64;
            let of = |(_, bars): &Group| bars.iter().find(|(of, _)| of == system).map(|(_, value)| *value);
            let values =
                || groups.iter().enumerate().filter_map(|(number, group)| Some((number, of(group)?)));
            let bars = values().map(|(group, value)| {
                Rectangle::new([(left(group), 0.0), (left(group) + bar * 0.92, value)], color.filled())
            });
            chart
                .draw_series(bars)?
                .label(system.name())
                .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 12, y + 5)], color.filled()));
            let numbers = values().map(|(group, value)| {
                Text::new(number(value), (left(group) + bar * 0.46, value), above.clone())
            });
            chart.draw_series(numbers)?;
        }
        for (number, (label, _)) in groups.iter().enumerate() {
            let (x, y) = chart.backend_coord(&(number as f64 + 0.5, 0.0));
            // One line for what is done, one for the rest.
            for (line, part) in label.splitn(2, ", ").enumerate() {
                area.draw(&Text::new(part.to_owned(), (x, y + 6 + 14 * line as i32), below.clone()))?;
            }
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE.mix(0.85))
            .border_style(BLACK.mix(0.3))
            .draw()?;
        area.present()?;
        Ok(())
    }
}

/// Told apart by people who see no red or no green, too (Okabe and Ito).
fn color(system: System) -> RGBColor {
    match system {
        System::Testpmd => RGBColor(0x99, 0x99, 0x99),
        System::Weft => RGBColor(0x00, 0x72, 0xb2),
        System::Ovs => RGBColor(0xe6, 0x9f, 0x00),
        System::Linux => RGBColor(0x00, 0x9e, 0x73),
    }
}

fn number(value: f64) -> String {
    if value < 100.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}

/// 1,000 as 1k.
fn short(number: u32) -> String {
    match number {
        1_000_000.. => format!("{}M", number / 1_000_000),
        1_000.. => format!("{}k", number / 1_000),
        _ => number.to_string(),
    }
}
