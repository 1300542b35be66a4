# Laws with levels by nlme and lme4, by maximum likelihood and by REML.
#   Rscript docs/tables/levels.R FOLDER
# Writes the data of each case to FOLDER. Prints for each case and method: the log likelihood, fixed
# effects, standard deviations from the outermost level to the noise, and correlations.
# Debian: r-base-core, r-cran-nlme and r-cran-lme4.
suppressPackageStartupMessages({
  library(nlme)
  library(lme4)
})

folder <- commandArgs(trailingOnly = TRUE)[1]

# Oscillations of the current with the voltage (Pinheiro and Bates, 2000, section 4.2.3).
waves <- function(voltage) cbind(cos(4.5679 * voltage), sin(4.5679 * voltage))
dialysers <- transform(as.data.frame(Dialyzer), qb = (QB == "300") - mean(QB == "300"))

cases <- list(
  Pixel = list(Pixel, function(method) {
    lme(pixel ~ day + I(day^2), Pixel, list(Dog = ~day, Side = ~1), method = method)
  }),
  Machines = list(Machines, function(method) {
    lme(score ~ Machine, Machines, ~ 1 | Worker / Machine, method = method)
  }),
  Oats = list(Oats, function(method) {
    lme(yield ~ nitro, Oats, ~ 1 | Block / Variety, method = method)
  }),
  Wafer = list(Wafer, function(method) {
    random <- pdDiag(~ voltage + I(voltage^2))
    lme(current ~ voltage + I(voltage^2), Wafer, list(Wafer = random, Site = random),
      method = method
    )
  }),
  Dialyzer = list(dialysers, function(method) {
    lme(rate ~ (pressure + I(pressure^2) + I(pressure^3) + I(pressure^4)) * qb, dialysers,
      ~ pressure + I(pressure^2) | Subject,
      method = method, control = lmeControl(msMaxIter = 200)
    )
  }),
  IGF = list(IGF, function(method) {
    lme(conc ~ age, IGF, list(Lot = pdDiag(~age)), method = method)
  }),
  Pastes = list(Pastes, function(method) {
    lme(strength ~ 1, Pastes, ~ 1 | batch / cask, method = method)
  }),
  sleepstudy = list(sleepstudy, function(method) {
    lme(Reaction ~ Days, sleepstudy, ~ Days | Subject, method = method)
  }),
  Penicillin = list(Penicillin, function(method) {
    lmer(diameter ~ 1 + (1 | plate) + (1 | sample), Penicillin, REML = method == "REML")
  })
)

# Standard deviations and correlations, in the order in which nlme prints them.
spreads <- function(found) {
  if (inherits(found, "merMod")) {
    table <- as.data.frame(VarCorr(found))
    return(list(table$sdcor[is.na(table$var2)], table$sdcor[!is.na(table$var2)]))
  }
  table <- unclass(VarCorr(found))
  correlations <- numeric()
  for (level in names(found$modelStruct$reStruct)) {
    covariance <- as.matrix(found$modelStruct$reStruct[[level]])
    own <- cov2cor(covariance)[lower.tri(covariance)]
    if (inherits(found$modelStruct$reStruct[[level]], "pdDiag")) own <- numeric()
    correlations <- c(own, correlations)
  }
  deviations <- suppressWarnings(as.numeric(table[, "StdDev"]))
  list(deviations[!is.na(deviations)], correlations)
}

digits <- function(values) format(values, digits = 10, scientific = TRUE, trim = TRUE)

for (name in names(cases)) {
  write.csv(as.data.frame(cases[[name]][[1]]), file.path(folder, paste0(name, ".csv")),
    row.names = FALSE
  )
  for (method in c("ML", "REML")) {
    found <- cases[[name]][[2]](method)
    own <- spreads(found)
    cat(name, method, digits(as.numeric(logLik(found))), "fixed", digits(fixef(found)),
      "deviations", digits(own[[1]]), "correlations",
      if (length(own[[2]])) digits(own[[2]]), "\n"
    )
  }
}
