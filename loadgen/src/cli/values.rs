//! Values of flags.

use crate::schedule::{Arrivals, MAX_RATE};

/// Seconds from 0 to a day: longer runs are mistakes.
pub fn seconds(text: &str) -> Result<f64, String> {
    const LONGEST: f64 = 86_400.0;
    let number = text.strip_suffix('s').unwrap_or(text);
    match number.parse::<f64>() {
        Ok(value) if (0.0..=LONGEST).contains(&value) => Ok(value),
        _ => Err(format!("not a number of seconds from 0 to {LONGEST}")),
    }
}

/// A whole number; `k` and `M` behind it stand for thousands and millions.
pub fn count(text: &str) -> Result<u64, String> {
    let (digits, factor) = match text.as_bytes().last() {
        Some(b'k') => (&text[..text.len() - 1], 1000),
        Some(b'M') => (&text[..text.len() - 1], 1_000_000),
        _ => (text, 1),
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(factor))
        .ok_or_else(|| "not a whole number (such as 500, 20k, 1M)".into())
}

/// A count of at least 1.
pub fn at_least_one(text: &str) -> Result<u64, String> {
    match count(text) {
        Ok(0) => Err("not a whole number of at least 1".into()),
        other => other,
    }
}

/// At least 1 and few enough to be counted by a publisher's number.
pub fn some(text: &str) -> Result<usize, String> {
    const MOST: u64 = 1_000_000;
    match at_least_one(text)? {
        value if value <= MOST => Ok(value as usize),
        _ => Err(format!("more than {MOST}")),
    }
}

/// Publishers: their number fits the 16 bits that messages have for it.
pub fn publishers(text: &str) -> Result<usize, String> {
    match at_least_one(text)? {
        value if value <= 65_536 => Ok(value as usize),
        _ => Err("more than 65536".into()),
    }
}

/// Messages a second.
pub fn rate(text: &str) -> Result<u64, String> {
    match at_least_one(text.strip_suffix("/s").unwrap_or(text))? {
        value if value <= MAX_RATE => Ok(value),
        _ => Err(format!("more than {MAX_RATE} a second")),
    }
}

pub fn arrivals(text: &str) -> Result<Arrivals, String> {
    text.parse()
}

/// CPUs: `2-5,8`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CpuList(pub Vec<usize>);

impl std::fmt::Display for CpuList {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let cpus: Vec<String> = self.0.iter().map(usize::to_string).collect();
        f.write_str(&cpus.join(","))
    }
}

impl std::str::FromStr for CpuList {
    type Err = String;

    fn from_str(text: &str) -> Result<CpuList, String> {
        let bad = || format!("\"{text}\" is no list of CPUs such as 2-5,8");
        let mut cpus = Vec::new();
        for part in text.split(',') {
            let (from, to) = part.split_once('-').unwrap_or((part, part));
            let from: usize = from.trim().parse().map_err(|_| bad())?;
            let to: usize = to.trim().parse().map_err(|_| bad())?;
            if from > to || to >= libc::CPU_SETSIZE as usize {
                return Err(bad());
            }
            for cpu in from..=to {
                if cpus.contains(&cpu) {
                    return Err(format!("CPU {cpu} is there twice"));
                }
                cpus.push(cpu);
            }
        }
        Ok(CpuList(cpus))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_may_have_units() {
        assert_eq!(count("20k"), Ok(20_000));
        assert_eq!(count("1M"), Ok(1_000_000));
        assert!(count("1.5k").is_err() && count("").is_err() && count("k").is_err());
        assert_eq!(rate("5k/s"), Ok(5000));
        assert!(rate("0").is_err() && rate("2000M").is_err());
        assert!(publishers("65537").is_err());
        assert_eq!(seconds("1.5s"), Ok(1.5));
        assert!(seconds("-1").is_err() && seconds("nan").is_err());
    }

    #[test]
    fn lists_of_cpus() {
        let list = |text: &str| text.parse::<CpuList>().map(|list| list.0);
        assert_eq!(list("2-4,8"), Ok(vec![2, 3, 4, 8]));
        assert_eq!(list("0"), Ok(vec![0]));
        for bad in ["", "a", "4-2", "1,1", "99999"] {
            assert!(list(bad).is_err(), "{bad}");
        }
        assert_eq!(CpuList(vec![1, 3]).to_string(), "1,3");
    }
}
