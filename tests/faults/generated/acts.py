"""The acts of each flow, in their order, and the moments of an act."""

from tasks.acts import Act

RELEASED = (
    Act.PLAN,
    Act.SNAPSHOT,
    Act.REHEARSAL,
    Act.RESET_STAGING,
    Act.MIGRATE_STAGING,
    Act.DEPLOY_STAGING,
    Act.SMOKE_TESTS,
    Act.RESTORE_POINT,
    Act.MIGRATE_PRODUCTION,
    Act.BUILD_PRODUCTION,
    Act.CHECK_BUILD,
    Act.PROMOTE,
    Act.VALIDATE_DATABASE,
    Act.WATCH_PRODUCTION,
)
ROLLED_BACK = {
    "application": (Act.ROLL_BACK_APPLICATION, Act.VALIDATE_DATABASE, Act.WATCH_PRODUCTION),
    "data": (
        Act.MAINTENANCE_ON,
        Act.LIFT_PROTECTION,
        Act.RESTORE,
        Act.RESTORE_PROTECTION,
        Act.ROLL_BACK_APPLICATION,
        Act.VALIDATE_DATABASE,
        Act.RECEIPT,
        Act.MAINTENANCE_OFF,
        Act.WATCH_PRODUCTION,
    ),
}
MOMENTS = ("before", "effect", "after")
# How a release that is killed at a moment of an act is recovered, by the acts of the recovery.
RECOVERED = {
    (Act.MIGRATE_STAGING, "effect"): (Act.ROLL_BACK_STAGING, Act.DELETE_SNAPSHOT),
    (Act.RESTORE_POINT, "after"): (Act.VERIFY_UNCHANGED, Act.VALIDATE_DATABASE, Act.WATCH_PRODUCTION),
    (Act.BUILD_PRODUCTION, "effect"): (
        Act.MAINTENANCE_ON,
        Act.LIFT_PROTECTION,
        Act.RESTORE,
        Act.RESTORE_PROTECTION,
        Act.VALIDATE_DATABASE,
        Act.RECEIPT,
        Act.MAINTENANCE_OFF,
        Act.WATCH_PRODUCTION,
    ),
    (Act.PROMOTE, "effect"): (Act.VALIDATE_DATABASE, Act.WATCH_PRODUCTION),
}
# How a rollback that is killed once production was restored is.
FINISHED = tuple(act for act in ROLLED_BACK["data"] if act not in (Act.LIFT_PROTECTION, Act.RESTORE))
