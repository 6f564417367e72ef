// A plain Catani-Seymour dipole shower of e+e- -> q qbar, the peer of benchmarks/dipole.py.
//
// Formulas: S. Catani, M. Seymour, hep-ph/9605323; algorithm: S. Hoeche, arXiv:1411.4085 (every dipole and kernel proposes
// a scale with a constant overestimate of the coupling, the highest one is tried). Massless partons, leading colour,
// two-loop coupling with thresholds at 1.27 and 4.75 GeV. The partons of an event stand in the order of the colour line;
// a quark followed by an antiquark is a dipole, an antiquark followed by a quark is not.
//
// dipole_shower EVENTS ALPHA_S CUTOFF_GEV SEED: prints the mean number of partons and its standard deviation.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace {

constexpr double kPi = 3.14159265358979323846, kCF = 4. / 3., kCA = 3., kTR = 0.5, kMZ = 91.1876;
constexpr int kFlavours = 5, kGluon = 21;

struct Vector {
  double e, x, y, z;
};
inline Vector operator+(Vector a, Vector b) { return {a.e + b.e, a.x + b.x, a.y + b.y, a.z + b.z}; }
inline Vector operator-(Vector a, Vector b) { return {a.e - b.e, a.x - b.x, a.y - b.y, a.z - b.z}; }
inline Vector operator*(double c, Vector a) { return {c * a.e, c * a.x, c * a.y, c * a.z}; }
inline double dot(Vector a, Vector b) { return a.e * b.e - a.x * b.x - a.y * b.y - a.z * b.z; }

struct Parton {
  int id;
  Vector p;
};

class Uniform {  // xoshiro256+
 public:
  explicit Uniform(uint64_t seed) {
    for (auto& word : state_) {  // splitmix64
      uint64_t z = (seed += 0x9e3779b97f4a7c15u);
      z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
      z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
      word = z ^ (z >> 31);
    }
  }
  double operator()() {
    const uint64_t result = state_[0] + state_[3], t = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= t;
    state_[3] = (state_[3] << 45) | (state_[3] >> 19);
    return ((result >> 11) + 0.5) * 0x1p-53;
  }

 private:
  uint64_t state_[4];
};

class Coupling {
 public:
  explicit Coupling(double at_mz) {
    at_mz_ = at_mz;
    at_mb_ = run(kBottom, kMZ * kMZ, at_mz_, 5);
    at_mc_ = run(kCharm, kBottom, at_mb_, 4);
  }
  double operator()(double t) const {
    if (t >= kBottom) return run(t, kMZ * kMZ, at_mz_, 5);
    if (t >= kCharm) return run(t, kBottom, at_mb_, 4);
    return run(t, kCharm, at_mc_, 3);
  }

 private:
  static constexpr double kBottom = 4.75 * 4.75, kCharm = 1.27 * 1.27;
  static double run(double t, double from, double start, int flavours) {
    const double b0 = (11. / 6. * kCA - 2. / 3. * kTR * flavours) / (2 * kPi);
    const double b1 = (17. / 6. * kCA * kCA - (5. / 3. * kCA + kCF) * kTR * flavours) / (4 * kPi * kPi);
    const double w = 1 + b0 * start * std::log(t / from);
    return start / w * (1 - b1 / b0 * start * std::log(w) / w);
  }
  double at_mz_, at_mb_, at_mc_;
};

class Shower {
 public:
  Shower(double alpha_s, double cutoff, uint64_t seed)
      : coupling_(alpha_s), lowest_(cutoff * cutoff), largest_(coupling_(lowest_)), uniform_(seed) {}

  size_t event() {
    partons_.clear();
    partons_.push_back({1, {kMZ / 2, 0, 0, kMZ / 2}});
    partons_.push_back({-1, {kMZ / 2, 0, 0, -kMZ / 2}});
    double t = kMZ * kMZ / 4;
    while (trial(t)) {
    }
    return partons_.size();
  }

 private:
  // Tries the highest of the proposed scales below t; false if all lie below the cut-off.
  bool trial(double& t) {
    double best = lowest_, best_mass2 = 0;
    size_t emitter = 0, spectator = 0;
    bool quarks = false;
    const double rate = largest_ / (2 * kPi);
    for (size_t s = 0; s + 1 < partons_.size(); ++s) {
      const int left = partons_[s].id, right = partons_[s + 1].id;
      if (left < 0) continue;  // an antiquark ends its line
      const double mass2 = 2 * dot(partons_[s].p, partons_[s + 1].p);
      if (mass2 < 4 * lowest_) continue;
      const double top = 0.5 * (1 + std::sqrt(1 - 4 * lowest_ / mass2)), log = std::log(top / (1 - top));
      for (int side = 0; side < 2; ++side) {
        const bool gluon = (side ? right : left) == kGluon;
        const auto propose = [&](double integral, bool makes_quarks) {
          const double scale = t * std::pow(uniform_(), 1 / (rate * integral));
          if (scale > best) {
            best = scale, best_mass2 = mass2, quarks = makes_quarks;
            emitter = s + side, spectator = s + 1 - side;
          }
        };
        propose((gluon ? kCA : 2 * kCF) * log, false);
        if (gluon) propose(kFlavours * kTR / 2 * (2 * top - 1), true);
      }
    }
    if (best <= lowest_) return false;
    t = best;
    const double top = 0.5 * (1 + std::sqrt(1 - 4 * lowest_ / best_mass2)), bottom = 1 - top;
    const double u = uniform_();
    const double z = quarks ? bottom + u * (top - bottom) : 1 - top * std::pow(bottom / top, u);
    const double y = t / best_mass2 / (z * (1 - z));
    if (y >= 1) return true;
    double kernel, bound;
    const bool gluon = partons_[emitter].id == kGluon;
    if (quarks) {
      kernel = kTR / 2 * (1 - 2 * z * (1 - z)), bound = kTR / 2;
    } else if (gluon) {
      kernel = kCA / 2 * (2 / (1 - z * (1 - y)) - 2 + z * (1 - z)), bound = kCA / (1 - z);
    } else {
      kernel = kCF * (2 / (1 - z * (1 - y)) - (1 + z)), bound = 2 * kCF / (1 - z);
    }
    if ((1 - y) * coupling_(t) * kernel < uniform_() * largest_ * bound) return true;
    branch(z, y, best_mass2, emitter, spectator, quarks);
    return true;
  }

  void branch(double z, double y, double mass2, size_t emitter, size_t spectator, bool quarks) {
    const Vector a = partons_[emitter].p, b = partons_[spectator].p;
    Vector k1, k2;
    transverse(a, b, k1, k2);
    const double phi = 2 * kPi * uniform_(), kt = std::sqrt(mass2 * y * z * (1 - z));
    const Vector k = kt * std::cos(phi) * k1 + kt * std::sin(phi) * k2;
    const Vector first = z * a + y * (1 - z) * b + k, second = (1 - z) * a + y * z * b - k;
    partons_[spectator].p = (1 - y) * b;
    partons_[emitter].p = first;
    const bool late = emitter > spectator;  // the new parton stands between emitter and spectator
    const size_t place = late ? emitter : emitter + 1;
    if (!quarks) {
      partons_.insert(partons_.begin() + place, {kGluon, second});
      return;
    }
    // The gluon becomes (antiquark, quark) in the order of the line; the emitter keeps the far place.
    const int flavour = 1 + static_cast<int>(kFlavours * uniform_());
    partons_[emitter].id = late ? flavour : -flavour;
    partons_.insert(partons_.begin() + place, {late ? -flavour : flavour, second});
  }

  // Two unit vectors orthogonal to a, b and each other.
  static void transverse(Vector a, Vector b, Vector& k1, Vector& k2) {
    const Vector sum = a + b;
    const double mass = std::sqrt(dot(sum, sum));
    // a in the rest frame of the pair.
    const double rest = dot(a, sum) / mass, c = (a.e + rest) / (mass + sum.e);
    double x = a.x - c * sum.x, y = a.y - c * sum.y, z = a.z - c * sum.z;
    const double norm = std::sqrt(x * x + y * y + z * z);
    x /= norm, y /= norm, z /= norm;
    Vector one = std::fabs(x) < 0.7 ? Vector{0, 0, -z, y} : Vector{0, z, 0, -x};
    const double size = std::sqrt(one.x * one.x + one.y * one.y + one.z * one.z);
    one = (1 / size) * one;
    const Vector two{0, y * one.z - z * one.y, z * one.x - x * one.z, x * one.y - y * one.x};
    const auto boosted = [&](Vector k) {
      const double product = k.x * sum.x + k.y * sum.y + k.z * sum.z, d = product / (mass * (mass + sum.e));
      return Vector{product / mass, k.x + d * sum.x, k.y + d * sum.y, k.z + d * sum.z};
    };
    k1 = boosted(one), k2 = boosted(two);
  }

  Coupling coupling_;
  double lowest_, largest_;
  Uniform uniform_;
  std::vector<Parton> partons_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) return std::fprintf(stderr, "dipole_shower EVENTS ALPHA_S CUTOFF_GEV SEED\n"), 2;
  const long events = std::atol(argv[1]);
  Shower shower(std::atof(argv[2]), std::atof(argv[3]), std::strtoull(argv[4], nullptr, 10));
  double sum = 0, square = 0;
  for (long i = 0; i < events; ++i) {
    const double n = static_cast<double>(shower.event());
    sum += n, square += n * n;
  }
  const double mean = sum / events;
  std::printf("%.17g %.17g\n", mean, std::sqrt(square / events - mean * mean));
}
