// Stand-in: SHA-256 by FIPS 180-4.

import Foundation

public enum SHA256 {
    public static func hash(data: Data) -> [UInt8] {
        var state = fractions(of: 8) { Double($0).squareRoot() }
        let constants = fractions(of: 64) { cubeRoot($0) }
        var message = [UInt8](data) + [0x80]
        message += [UInt8](repeating: 0, count: (120 - message.count % 64) % 64)
        message += (0..<8).reversed().map { UInt8(truncatingIfNeeded: (data.count * 8) >> ($0 * 8)) }
        for block in stride(from: 0, to: message.count, by: 64) {
            var words = (0..<16).map { word in
                (0..<4).reduce(UInt32(0)) { $0 << 8 | UInt32(message[block + word * 4 + $1]) }
            }
            for index in 16..<64 {
                let (x, y) = (words[index - 15], words[index - 2])
                let small = turned(x, 7) ^ turned(x, 18) ^ (x >> 3)
                let large = turned(y, 17) ^ turned(y, 19) ^ (y >> 10)
                words.append(words[index - 16] &+ small &+ words[index - 7] &+ large)
            }
            var v = state
            for index in 0..<64 {
                let mix = turned(v[4], 6) ^ turned(v[4], 11) ^ turned(v[4], 25)
                let choice = (v[4] & v[5]) ^ (~v[4] & v[6])
                let first = v[7] &+ mix &+ choice &+ constants[index] &+ words[index]
                let other = turned(v[0], 2) ^ turned(v[0], 13) ^ turned(v[0], 22)
                let second = other &+ ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]))
                v = [first &+ second, v[0], v[1], v[2], v[3] &+ first, v[4], v[5], v[6]]
            }
            state = zip(state, v).map { $0 &+ $1 }
        }
        return state.flatMap { word in [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: word >> $0) } }
    }

    private static func turned(_ word: UInt32, _ bits: UInt32) -> UInt32 {
        word >> bits | word << (32 - bits)
    }

    private static func cubeRoot(_ number: Int) -> Double {
        var root = pow(Double(number), 1.0 / 3.0)
        root -= (root * root * root - Double(number)) / (3 * root * root)
        return root
    }

    /// The first 32 bits of the fractional parts of roots of the first primes.
    private static func fractions(of count: Int, _ root: (Int) -> Double) -> [UInt32] {
        var primes: [Int] = []
        var candidate = 2
        while primes.count < count {
            if primes.allSatisfy({ candidate % $0 != 0 }) { primes.append(candidate) }
            candidate += 1
        }
        return primes.map { UInt32((root($0) - root($0).rounded(.down)) * 4_294_967_296) }
    }
}
