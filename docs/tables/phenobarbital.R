# Maximum likelihood of phenobarbital in infants by adaptive Gauss-Hermite quadrature, and by nlme.
#   Rscript docs/tables/phenobarbital.R [CL V DEVIATION DEVIATION NOISE]
# The log likelihood is also told at stated parameters.
# Debian: r-base-core and r-cran-nlme.
library(nlme)

table <- as.data.frame(Phenobarb)
infants <- lapply(split(table, table$Subject), function(infant) {
  seen <- infant[!is.na(infant$conc), ]
  doses <- infant[!is.na(infant$dose), ]
  list(y = seen$conc, t = seen$time, amount = doses$dose, at = doses$time)
})

# Concentrations for columns of log CL and log V, a column for each observation.
predicted <- function(b, infant) {
  rate <- exp(b[1, ] - b[2, ])
  found <- sapply(seq_along(infant$t), function(j) {
    since <- infant$t[j] - infant$at
    given <- since >= 0
    colSums(infant$amount[given] * exp(-outer(since[given], rate))) / exp(b[2, ])
  })
  matrix(found, ncol = length(infant$t))
}

# Nodes and weights for the standard normal law.
hermite <- function(n) {
  i <- 1:(n - 1)
  m <- matrix(0, n, n)
  m[cbind(i, i + 1)] <- sqrt(i)
  e <- eigen(m + t(m), symmetric = TRUE)
  list(x = e$values, w = e$vectors[1, ]^2)
}
rule <- hermite(31)
nodes <- as.matrix(expand.grid(rule$x, rule$x))
weights <- log(as.vector(outer(rule$w, rule$w)))

# p: means of log CL and log V, logarithms of their deviations and of that of the noise.
log_likelihood <- function(p) {
  noise <- exp(p[5])
  sum(sapply(infants, function(infant) {
    log_density <- function(e) {
      m <- predicted(p[1:2] + exp(p[3:4]) * e, infant)
      y <- matrix(infant$y, nrow(m), ncol(m), byrow = TRUE)
      -rowSums((y - m)^2) / (2 * noise^2) - ncol(m) * log(noise * sqrt(2 * pi)) - colSums(e^2) / 2
    }
    mode <- optim(
      c(0, 0), function(e) -log_density(matrix(e, 2)),
      method = "BFGS", hessian = TRUE, control = list(reltol = 1e-12)
    )
    root <- chol(solve(mode$hessian))
    terms <- log_density(mode$par + t(nodes %*% root)) + weights + rowSums(nodes^2) / 2
    max(terms) + log(sum(exp(terms - max(terms)))) + sum(log(diag(root)))
  }))
}

fit <- nlme(
  conc ~ phenoModel(Subject, time, dose, lCl, lV),
  data = Phenobarb, fixed = lCl + lV ~ 1, random = pdDiag(lCl + lV ~ 1),
  start = c(-5, 0), na.action = NULL, naPattern = ~ !is.na(conc), method = "ML"
)
deviations <- sqrt(diag(as.matrix(fit$modelStruct$reStruct[[1]]))) * fit$sigma
of_nlme <- c(fixef(fit), log(deviations), log(fit$sigma))
cat("nlme", exp(of_nlme), logLik(fit), "exact log likelihood", log_likelihood(of_nlme), "\n")
best <- optim(
  of_nlme, function(p) -log_likelihood(p),
  method = "BFGS", control = list(reltol = 1e-10, ndeps = rep(1e-4, 5))
)
given <- as.numeric(commandArgs(trailingOnly = TRUE))
if (length(given)) cat("stated", log_likelihood(log(given)), "\n")
cat("quadrature", exp(best$par), -best$value, "\n")
