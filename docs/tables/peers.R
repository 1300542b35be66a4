# Maximum likelihood and REML of the linear studies of the pages by nlme, beside their answers.
#   Rscript docs/tables/peers.R docs/tables/data/studies
# Debian: r-base-core and r-cran-nlme.
library(nlme)

# Means, standard deviations and correlation of the random effects, and the noise.
estimates <- function(fit, names) {
  count <- length(names)
  deviations <- as.numeric(VarCorr(fit)[, "StdDev"])
  found <- c(fixef(fit), deviations[1:count])
  labels <- c(paste0(names, "_mean"), paste0(names, "_standard_deviation"))
  if (count == 2) {
    # The correlation of VarCorr has three digits.
    found <- c(found, cov2cor(as.matrix(getVarCov(fit)))[1, 2])
    labels <- c(labels, paste0(names[1], "_", names[2], "_correlation"))
  }
  setNames(c(found, fit$sigma), c(labels, "noise_standard_deviation"))
}

beside <- function(study, names, fit) {
  likelihood <- estimates(fit("ML"), names)
  restricted <- estimates(fit("REML"), names)
  table <- data.frame(
    parameter = names(likelihood),
    ml = signif(likelihood, 5),
    reml = signif(restricted, 5)
  )
  colnames(table) <- c("parameter", "nlme, maximum likelihood", "nlme, REML")
  file <- file.path(commandArgs(trailingOnly = TRUE)[1], paste0(study, "_peers.csv"))
  write.csv(table, file, row.names = FALSE)
}

beside("rails", "travel_time", function(method) {
  lme(travel ~ 1, random = ~ 1 | Rail, data = as.data.frame(Rail), method = method)
})
beside("boys_heights", c("intercept", "slope"), function(method) {
  lme(height ~ age, random = ~ age | Subject, data = as.data.frame(Oxboys), method = method)
})
