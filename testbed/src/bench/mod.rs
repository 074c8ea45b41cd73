//! What benches of running switches stand on alike: the ground, the facts of the machine, the opening of flows, figures.

pub mod figures;
pub mod flows;
pub mod ground;
pub mod machine;
